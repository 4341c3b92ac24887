//! Paths: the canonical form of a request's path, patterns with captures, and templates filled from them.
//!
//! The canonical path is what is matched, what a token must cover, what the stream key holds and what the upstream is
//! asked for, so that two spellings of one path cannot be two things (RFC 3986, 6.2.2). Pure. Does not know routes.

use std::borrow::Cow;
use std::fmt;

/// A path with captures, such as `/prices/{symbol}`. A capture is one whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture(String),
}

/// The captured segments of a path, in the pattern's order.
pub type Captures = Vec<(String, String)>;

/// A path to be filled with captures, such as `/feed/{symbol}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(Vec<Segment>);

/// Why a pattern or a template is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Patterns begin at the root.
    #[error("a path starts with \"/\"")]
    NotAbsolute,
    /// `//`, or a slash at the end, or a `.` or `..` segment.
    #[error("the segment {0:?} is empty or a dot segment")]
    EmptyOrDot(String),
    /// A character that a literal segment cannot hold.
    #[error("{0:?} is not allowed in a path; a capture is one whole segment, like /{{name}}/")]
    Character(char),
    /// `{}` or `{a-b}`.
    #[error("{0:?} is no name for a capture (letters, digits and _)")]
    Name(String),
    /// The same name twice.
    #[error("the capture {0:?} stands there twice")]
    Twice(String),
    /// A template names what the pattern does not capture.
    #[error("{0:?} is not captured by the route's path")]
    Unknown(String),
}

/// A request path that has no canonical form: dot or empty segments, or characters that would have to stay encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is not in a form that has only one reading")]
pub struct AmbiguousPath;

/// The canonical form of `raw`: percent-encoded unreserved characters decoded, everything ambiguous refused.
///
/// # Errors
/// Dot segments, empty segments, other percent-encodings and characters outside RFC 3986's `pchar`.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    let path = if raw.contains('%') { Cow::Owned(decode_unreserved(raw)?) } else { Cow::Borrowed(raw) };
    let Some(rest) = path.strip_prefix('/') else { return Err(AmbiguousPath) };
    if rest.is_empty() {
        return Ok(path);
    }
    for segment in rest.split('/') {
        if segment.is_empty() || segment == "." || segment == ".." || !segment.chars().all(is_literal) {
            return Err(AmbiguousPath);
        }
    }
    Ok(path)
}

fn decode_unreserved(raw: &str) -> Result<String, AmbiguousPath> {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let digits = rest.as_bytes().get(at + 1..at + 3).ok_or(AmbiguousPath)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(AmbiguousPath);
        let code = digit(digits[0])? * 16 + digit(digits[1])?;
        let character = char::from_u32(code).filter(|&c| is_unreserved(c)).ok_or(AmbiguousPath)?;
        decoded.push(character);
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// RFC 3986, 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// RFC 3986, 3.3: `pchar` without percent-encoding.
fn is_literal(c: char) -> bool {
    is_unreserved(c) || matches!(c, '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=' | ':' | '@')
}

/// Whether `segment` may be captured: 1 to 128 unreserved characters, no dot segment.
pub fn is_capturable(segment: &str) -> bool {
    (1..=128).contains(&segment.len()) && segment.chars().all(is_unreserved) && segment != "." && segment != ".."
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let segments = parse_segments(text)?;
        let mut seen = Vec::new();
        for segment in &segments {
            if let Segment::Capture(name) = segment {
                if seen.contains(&name) {
                    return Err(PatternError::Twice(name.clone()));
                }
                seen.push(name);
            }
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The captures of a canonical `path`, if it matches.
    pub fn matches(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut given = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let value = given.next()?;
            match segment {
                Segment::Literal(literal) if literal == value => {}
                Segment::Capture(name) if is_capturable(value) => captures.push((name.clone(), value.to_owned())),
                Segment::Literal(_) | Segment::Capture(_) => return None,
            }
        }
        // "/" splits into one empty segment, which no pattern but the root's has.
        match given.next() {
            None => Some(captures),
            Some("") if self.segments.is_empty() && path == "/" => Some(captures),
            Some(_) => None,
        }
    }

    /// The pattern itself as a template, for routes that ask the upstream for the same path.
    pub fn template(&self) -> PathTemplate {
        PathTemplate(self.segments.clone())
    }

    /// Orders patterns so that the first match is the most specific: a literal segment before a capture.
    pub fn specificity(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| matches!(segment, Segment::Capture(_))).collect()
    }

    /// Whether some path matches both and neither is more specific.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Capture(_), Segment::Capture(_)) => true,
                (Segment::Literal(_), Segment::Capture(_)) | (Segment::Capture(_), Segment::Literal(_)) => false,
            })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PathTemplate {
    /// Reads a template whose captures are all in `pattern`.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str, pattern: &PathPattern) -> Result<Self, PatternError> {
        let segments = parse_segments(text)?;
        for segment in &segments {
            if let Segment::Capture(name) = segment
                && !pattern.captures().any(|known| known == name)
            {
                return Err(PatternError::Unknown(name.clone()));
            }
        }
        Ok(Self(segments))
    }

    /// The path for these captures.
    pub fn fill(&self, captures: &[(String, String)]) -> String {
        if self.0.is_empty() {
            return "/".to_owned();
        }
        let mut path = String::new();
        for segment in &self.0 {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Capture(name) => captures
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value)
                    .expect("a template only names what its pattern captures"),
            });
        }
        path
    }
}

fn parse_segments(text: &str) -> Result<Vec<Segment>, PatternError> {
    let rest = text.strip_prefix('/').ok_or(PatternError::NotAbsolute)?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    rest.split('/').map(parse_segment).collect()
}

fn parse_segment(segment: &str) -> Result<Segment, PatternError> {
    if segment.is_empty() || segment == "." || segment == ".." {
        return Err(PatternError::EmptyOrDot(segment.to_owned()));
    }
    if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(PatternError::Name(name.to_owned()));
        }
        return Ok(Segment::Capture(name.to_owned()));
    }
    match segment.chars().find(|&c| !is_literal(c)) {
        Some(c) => Err(PatternError::Character(c)),
        None => Ok(Segment::Literal(segment.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_one_segment_of_unreserved_characters() {
        let pattern = PathPattern::parse("/prices/{symbol}").expect("a pattern");

        assert_eq!(pattern.matches("/prices/EUR-USD"), Some(vec![("symbol".into(), "EUR-USD".into())]));
        for other in ["/prices", "/prices/", "/prices/a/b", "/prices/a:b", "/Prices/a", "/prices/..", "prices/a"] {
            assert_eq!(pattern.matches(other), None, "{other}");
        }
    }

    #[test]
    fn spellings_of_one_path_become_one_or_are_refused() {
        assert_eq!(canonical("/prices/%45UR").as_deref(), Ok("/prices/EUR"));
        assert_eq!(canonical("/%7euser").as_deref(), Ok("/~user"));
        for bad in [
            "/a/../b",
            "/./a",
            "//a",
            "/a/",
            "/a%2Fb",
            "/a%00",
            "/a%",
            "/a%4",
            "/%252e",
            "/%2e%2e/a",
            "/a\\b",
            "/ü",
            "",
            "a",
        ] {
            assert_eq!(canonical(bad), Err(AmbiguousPath), "{bad}");
        }
    }

    #[test]
    fn a_template_is_filled_with_the_captures() {
        let pattern = PathPattern::parse("/{tenant}/prices/{symbol}").expect("a pattern");
        let template = PathTemplate::parse("/feed/{symbol}/{tenant}", &pattern).expect("a template");

        assert_eq!(template.fill(&pattern.matches("/acme/prices/EUR").expect("a match")), "/feed/EUR/acme");
        assert_eq!(PathTemplate::parse("/{nobody}", &pattern), Err(PatternError::Unknown("nobody".into())));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "a", "//", "/a/", "/{}", "/{a b}", "/a{b}", "/{a}/{a}", "/a?b", "/%41", "/.."] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(PathPattern::parse("/").map(|root| root.matches("/")), Ok(Some(vec![])));
    }
}
