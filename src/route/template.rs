//! What a route asks of its upstream, to be filled with the captures of a request's path.
//!
//! What was written is sent as it was written; what a client sent is encoded, so that it stays within the segment or the
//! value that it fills. Pure.

use std::fmt;

use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

use super::path::PathFault;
use super::pattern::{PathPattern, PatternError, Segment, capture_name, check_literal, is_written, segments};
use super::percent;
use crate::upstream::Resource;

/// A path and perhaps a query, such as `/feed/{symbol}?venue={venue}&mode=full`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// Literals as a URL has them.
    path: Vec<Segment>,
    /// The query, without its question mark; literals as a URL has them.
    query: Vec<Segment>,
}

impl PathTemplate {
    /// Reads a template whose captures are all in `pattern`.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str, pattern: &PathPattern) -> Result<Self, PatternError> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let template = Self { path: segments(path, literal)?, query: query_pieces(query)? };
        for segment in template.path.iter().chain(&template.query) {
            if let Segment::Capture(name) = segment
                && !pattern.captures().any(|known| known == name)
            {
                return Err(PatternError::Unknown(name.clone()));
            }
        }
        Ok(template)
    }

    /// The path that a pattern matches, for routes that ask the upstream for the same.
    pub fn same_as(pattern: &PathPattern) -> Self {
        let path = pattern.segments().iter().map(|segment| match segment {
            Segment::Literal(value) => Segment::Literal(percent::segment(value).collect()),
            Segment::Capture(name) => Segment::Capture(name.clone()),
        });
        Self { path: path.collect(), query: Vec::new() }
    }

    /// The query as it was written, captures by their names.
    pub fn query(&self) -> String {
        self.query.iter().map(ToString::to_string).collect()
    }

    /// What is asked for with these captures.
    pub fn fill(&self, captures: &[(String, String)]) -> Resource {
        let value = |name: &String| {
            let found = captures.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).expect("a template only names what its pattern captures")
        };
        let mut resource = Resource::default();
        for segment in &self.path {
            resource.path.push('/');
            match segment {
                Segment::Literal(literal) => resource.path.push_str(literal),
                Segment::Capture(name) => resource.path.extend(percent::segment(value(name))),
            }
        }
        for piece in &self.query {
            match piece {
                Segment::Literal(literal) => resource.query.push_str(literal),
                Segment::Capture(name) => resource.query.extend(percent::query(value(name))),
            }
        }
        resource
    }
}

/// As one would write it.
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
        }
    }
}

/// A literal segment as it is sent. It may encode what no request's path may: the upstream is who reads it.
fn literal(segment: &str) -> Result<String, PatternError> {
    check_literal(segment)?;
    if segment.match_indices('%').any(|(at, _)| !is_encoding(&segment[at + 1..])) {
        return Err(PatternError::Path(PathFault::Encoding));
    }
    if matches!(&*percent_decode_str(segment).decode_utf8_lossy(), "." | "..") {
        return Err(PatternError::EmptyOrDot(segment.to_owned()));
    }
    Ok(written(segment))
}

/// Whether a percent sign may stand before this.
fn is_encoding(behind: &str) -> bool {
    behind.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
}

/// What was written, with what is not ASCII encoded.
fn written(text: &str) -> String {
    utf8_percent_encode(text, CONTROLS).collect()
}

/// The pieces of `NAME=VALUE&…`: captures stand in values, alone or among other characters.
fn query_pieces(query: &str) -> Result<Vec<Segment>, PatternError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut is_value = false;
    let mut rest = query;
    while let Some(character) = rest.chars().next() {
        if character == '{' && is_value {
            let (name, behind) = rest[1..].split_once('}').ok_or(PatternError::Query('{'))?;
            if !literal.is_empty() {
                pieces.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Segment::Capture(capture_name(name)?));
            rest = behind;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if !(is_written(character) || matches!(character, '/' | '?')) || (character == '%' && !is_encoding(rest)) {
            return Err(PatternError::Query(character));
        }
        is_value = character == '=' || (is_value && character != '&');
        literal.push_str(&written(character.encode_utf8(&mut [0; 4])));
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

    fn filled(template: &str, tenant: &str, symbol: &str) -> String {
        let template = PathTemplate::parse(template, &pattern()).expect("a template");
        let resource = template.fill(&[("tenant".into(), tenant.into()), ("symbol".into(), symbol.into())]);
        format!("{}?{}", resource.path, resource.query)
    }

    #[test]
    fn a_template_is_filled_with_the_captures() {
        for (template, expected) in [
            ("/feed/{symbol}/{tenant}", "/feed/a:b+c=/z%C3%BCrich?"),
            ("/feed/", "/feed/?"),
            ("/feed/group%2Fproject%2a", "/feed/group%2Fproject%2a?"),
            ("/", "/?"),
            ("/feed?s={symbol}&mode=full", "/feed?s=a%3Ab%2Bc%3D&mode=full"),
            ("/feed?topic=/{tenant}/{symbol}&x", "/feed?topic=/z%C3%BCrich/a%3Ab%2Bc%3D&x"),
            ("/städte/%66?q=ü%20%2f&=", "/st%C3%A4dte/%66?q=%C3%BC%20%2f&="),
        ] {
            assert_eq!(filled(template, "zürich", "a:b+c="), expected);
        }
    }

    #[test]
    fn the_same_path_is_asked_for_where_nothing_else_is_said() {
        let pattern = PathPattern::parse("/städte/{name}/").expect("a pattern");

        assert_eq!(PathTemplate::same_as(&pattern).to_string(), "/st%C3%A4dte/{name}/");
        assert_eq!(
            PathTemplate::same_as(&pattern).fill(&[("name".into(), "köln".into())]).path,
            "/st%C3%A4dte/k%C3%B6ln/"
        );
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (bad, error) in [
            ("feed", PatternError::NotAbsolute),
            ("?a=1", PatternError::NotAbsolute),
            ("/{nobody}", PatternError::Unknown("nobody".into())),
            ("/a?b={nobody}", PatternError::Unknown("nobody".into())),
            ("/a?b={}", PatternError::Name(String::new())),
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
        fn a_capture_never_leaves_the_segment_or_the_value_that_it_fills(symbol in any::<String>()) {
            let asked = filled("/feed/{symbol}?a={symbol}&b=1", "acme", &symbol);

            let url = url::Url::parse(&format!("http://origin{asked}")).expect("a URL");
            let pairs: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!(&pairs, &[("a".into(), symbol.as_str().into()), ("b".into(), "1".into())]);
            prop_assert!(asked.is_ascii() && url.fragment().is_none());
            // Dot segments are refused with the request's path, and would be resolved here.
            if symbol != "." && symbol != ".." {
                prop_assert_eq!(url.path(), asked.split('?').next().unwrap());
                let segment = asked.split(['/', '?']).nth(2).unwrap();
                prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), symbol);
            }
        }
    }
}
