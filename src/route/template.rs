//! Templates for the path and query of upstream requests, expanded with the captures of a request's path.
//!
//! The text of the template is sent as it was written. A capture is encoded, so that it cannot leave its segment or its
//! value. Pure.

use std::fmt;

use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

use super::path::PathFault;
use super::pattern::{
    PathPattern, PatternError, Segment, capture_name, check_literal, is_literal_char, parse_segments,
};
use super::percent;
use super::resource::Resource;

/// A path and an optional query, such as `/feed/{symbol}?venue={venue}&mode=full`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// The segments of the path; literals are percent-encoded.
    path: Vec<Segment>,
    /// The pieces of the query without its question mark; literals are percent-encoded.
    query: Vec<Segment>,
}

impl PathTemplate {
    /// Parses a template. `pattern` must have all its captures.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str, pattern: &PathPattern) -> Result<Self, PatternError> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let template = Self { path: parse_segments(path, parse_literal)?, query: parse_query(query)? };
        for segment in template.path.iter().chain(&template.query) {
            if let Segment::Capture(name) | Segment::Rest(name) = segment
                && !pattern.captures().any(|known| known == name)
            {
                return Err(PatternError::UnknownCapture(name.clone()));
            }
        }
        Ok(template)
    }

    /// Returns the template of the path that `pattern` matches, for routes without `upstream_path`.
    pub fn from_pattern(pattern: &PathPattern) -> Self {
        let path = pattern.segments().iter().map(|segment| match segment {
            Segment::Literal(value) => Segment::Literal(percent::segment(value).collect()),
            Segment::Capture(name) => Segment::Capture(name.clone()),
            Segment::Rest(name) => Segment::Rest(name.clone()),
        });
        Self { path: path.collect(), query: Vec::new() }
    }

    /// Returns the query as it was written, with the names of captures.
    pub fn query(&self) -> String {
        self.query.iter().map(ToString::to_string).collect()
    }

    /// Expands the template with these captures.
    pub fn expand(&self, captures: &[(String, String)]) -> Resource {
        let value = |name: &String| {
            let found = captures.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).expect("the pattern has all captures of the template")
        };
        let mut resource = Resource::default();
        for segment in &self.path {
            resource.path.push('/');
            match segment {
                Segment::Literal(literal) => resource.path.push_str(literal),
                Segment::Capture(name) => resource.path.extend(percent::segment(value(name))),
                // Routes with a rest forward the canonical path itself and expand no template.
                Segment::Rest(name) => resource.path.push_str(value(name)),
            }
        }
        for piece in &self.query {
            match piece {
                Segment::Literal(literal) => resource.query.push_str(literal),
                Segment::Capture(name) | Segment::Rest(name) => resource.query.extend(percent::query(value(name))),
            }
        }
        resource
    }
}

/// Formats the template as it is written in the configuration.
impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.path {
            write!(f, "/{segment}")?;
        }
        if !self.query.is_empty() {
            write!(f, "?{}", self.query())?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Capture(name) => write!(f, "{{{name}}}"),
            Self::Rest(name) => write!(f, "{{*{name}}}"),
        }
    }
}

/// Parses a literal segment into its percent-encoded form. Only the upstream decodes it, so it may encode characters that
/// are refused in the path of a request.
fn parse_literal(segment: &str) -> Result<String, PatternError> {
    check_literal(segment)?;
    if segment.match_indices('%').any(|(at, _)| !is_encoding(&segment[at + 1..])) {
        return Err(PatternError::Path(PathFault::Encoding));
    }
    if matches!(&*percent_decode_str(segment).decode_utf8_lossy(), "." | "..") {
        return Err(PatternError::EmptyOrDot(segment.to_owned()));
    }
    Ok(encode(segment))
}

/// Whether the text after a percent sign begins with two hexadecimal digits.
fn is_encoding(rest: &str) -> bool {
    rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
}

/// Percent-encodes the characters beyond ASCII.
fn encode(text: &str) -> String {
    utf8_percent_encode(text, CONTROLS).collect()
}

/// Parses `NAME=VALUE&…` into pieces. Values may contain captures, alone or among other characters.
fn parse_query(query: &str) -> Result<Vec<Segment>, PatternError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut is_value = false;
    let mut rest = query;
    while let Some(character) = rest.chars().next() {
        if character == '{' && is_value {
            let (name, after) = rest[1..].split_once('}').ok_or(PatternError::Query('{'))?;
            if !literal.is_empty() {
                pieces.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Segment::Capture(capture_name(name)?));
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if !(is_literal_char(character) || matches!(character, '/' | '?')) || (character == '%' && !is_encoding(rest)) {
            return Err(PatternError::Query(character));
        }
        is_value = character == '=' || (is_value && character != '&');
        literal.push_str(&encode(character.encode_utf8(&mut [0; 4])));
    }
    if !literal.is_empty() {
        pieces.push(Segment::Literal(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> PathPattern {
        PathPattern::parse("/{tenant}/prices/{symbol}").expect("a pattern")
    }

    fn expanded(template: &str, tenant: &str, symbol: &str) -> String {
        let template = PathTemplate::parse(template, &pattern()).expect("a template");
        let resource = template.expand(&[("tenant".into(), tenant.into()), ("symbol".into(), symbol.into())]);
        format!("{}?{}", resource.path, resource.query)
    }

    #[test]
    fn a_template_is_expanded_with_the_captures() {
        for (template, expected) in [
            ("/feed/{symbol}/{tenant}", "/feed/a:b+c=/z%C3%BCrich?"),
            ("/feed/", "/feed/?"),
            ("/feed/group%2Fproject%2a", "/feed/group%2Fproject%2a?"),
            ("/", "/?"),
            ("/feed?s={symbol}&mode=full", "/feed?s=a%3Ab%2Bc%3D&mode=full"),
            ("/feed?topic=/{tenant}/{symbol}&x", "/feed?topic=/z%C3%BCrich/a%3Ab%2Bc%3D&x"),
            ("/städte/%66?q=ü%20%2f&=", "/st%C3%A4dte/%66?q=%C3%BC%20%2f&="),
        ] {
            assert_eq!(expanded(template, "zürich", "a:b+c="), expected);
        }
    }

    #[test]
    fn the_default_template_requests_the_same_path() {
        let pattern = PathPattern::parse("/städte/{name}/").expect("a pattern");

        assert_eq!(PathTemplate::from_pattern(&pattern).to_string(), "/st%C3%A4dte/{name}/");
        assert_eq!(
            PathTemplate::from_pattern(&pattern).expand(&[("name".into(), "köln".into())]).path,
            "/st%C3%A4dte/k%C3%B6ln/"
        );
    }

    #[test]
    fn invalid_templates_are_refused() {
        for (bad, error) in [
            ("feed", PatternError::NotAbsolute),
            ("?a=1", PatternError::NotAbsolute),
            ("/{nobody}", PatternError::UnknownCapture("nobody".into())),
            ("/a?b={nobody}", PatternError::UnknownCapture("nobody".into())),
            ("/a?b={}", PatternError::CaptureName(String::new())),
            ("/a?b={symbol", PatternError::Query('{')),
            ("/a?{symbol}=b", PatternError::Query('{')),
            ("/a?b=1&{symbol}", PatternError::Query('{')),
            ("/a?b=%4", PatternError::Query('%')),
            ("/a?b= ", PatternError::Query(' ')),
            ("/a?b=c#d", PatternError::Query('#')),
            ("/a#d", PatternError::Character('#')),
            ("/w/*", PatternError::Wildcard("*".into())),
            ("/w/:symbol", PatternError::Colon(":symbol".into())),
            ("/a/../b", PatternError::EmptyOrDot("..".into())),
            ("/a/%2E./b", PatternError::EmptyOrDot("%2E.".into())),
            ("/a%", PatternError::Path(PathFault::Encoding)),
        ] {
            assert_eq!(PathTemplate::parse(bad, &pattern()), Err(error), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_capture_never_leaves_its_segment_or_its_value(symbol in any::<String>()) {
            let asked = expanded("/feed/{symbol}?a={symbol}&b=1", "acme", &symbol);

            let url = url::Url::parse(&format!("http://origin{asked}")).expect("a URL");
            let pairs: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!(&pairs, &[("a".into(), symbol.as_str().into()), ("b".into(), "1".into())]);
            prop_assert!(asked.is_ascii() && url.fragment().is_none());
            // Requests with dot segments are refused. A URL parser would resolve them here.
            if symbol != "." && symbol != ".." {
                prop_assert_eq!(url.path(), asked.split('?').next().unwrap());
                let segment = asked.split(['/', '?']).nth(2).unwrap();
                prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), symbol);
            }
        }
    }
}
