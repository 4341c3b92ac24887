//! Patterns with captures, and which paths match them.
//!
//! A pattern is compared with the decoded segments of a canonical path, so that no spelling of a path can match what
//! another spelling does not. Pure. Does not know routes.

use std::fmt;

use super::path::{self, PathFault};

/// A path with captures, such as `/prices/{symbol}`. A capture is one whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// As it is decoded. Empty only at the end: a slash there.
    Literal(String),
    /// By its name.
    Capture(String),
}

/// The captured segments of a path by name, decoded, in the pattern's order.
pub type Captures = Vec<(String, String)>;

/// Why a pattern or a template is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Patterns begin at the root.
    #[error("a path starts with \"/\"")]
    NotAbsolute,
    /// `//`, or a `.` or `..` segment.
    #[error("the segment {0:?} is empty or a dot segment")]
    EmptyOrDot(String),
    /// A character that a literal segment cannot hold.
    #[error("{0:?} is not allowed in a path; a capture is one whole segment, like /{{name}}/")]
    Character(char),
    /// An encoding that no path of a request could have.
    #[error("no request has such a path: {0}")]
    Path(PathFault),
    /// `*`, which is a wildcard elsewhere, and in tokens.
    #[error("{0:?} would match nothing but itself: {{name}} is any one segment, and nothing matches several")]
    Wildcard(String),
    /// `:id`, which is a capture elsewhere.
    #[error("{0:?} would match nothing but itself: a capture is written {{name}}, a literal \":\" at the start %3A")]
    Colon(String),
    /// `{}` or `{a-b}`.
    #[error("{0:?} is no name for a capture (letters, digits and _)")]
    Name(String),
    /// The same name twice.
    #[error("duplicate capture {0:?}")]
    Twice(String),
    /// A template names what the pattern does not capture.
    #[error("{0:?} is not captured by the route's path")]
    Unknown(String),
    /// A query in a template that no URL could have.
    #[error("the query cannot hold {0:?}: it is NAME=VALUE&…, where a value may hold {{name}}; encode others as %XX")]
    Query(char),
}

/// Why a path is not one of a pattern's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It has other segments.
    Other,
    /// It would match but for what stands where a capture is.
    Capture(CaptureFault),
}

/// Why a segment is not captured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureFault {
    /// More than [`CAPTURE_BYTES`].
    #[error("its segment for {{{0}}} is longer than {CAPTURE_BYTES} bytes")]
    Length(String),
    /// A character that no capture takes.
    #[error("its segment for {{{0}}} holds {1:?}, which is not taken there")]
    Character(String, char),
}

/// Most bytes of a captured segment, decoded. It becomes a part of a stream's key.
pub const CAPTURE_BYTES: usize = 1024;

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let segments = segments(text, literal)?;
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

    /// The captures of a canonical path, given decoded.
    ///
    /// # Errors
    /// Why it does not match.
    pub fn matches(&self, path: &str) -> Result<Captures, Mismatch> {
        let mut captures = Captures::new();
        let mut fault = None;
        let mut given = path.strip_prefix('/').ok_or(Mismatch::Other)?.split('/');
        for segment in &self.segments {
            let value = given.next().ok_or(Mismatch::Other)?;
            match segment {
                Segment::Literal(literal) if literal == value => {}
                Segment::Capture(name) if !value.is_empty() => {
                    fault = fault.or_else(|| objection(name, value));
                    captures.push((name.clone(), value.to_owned()));
                }
                Segment::Literal(_) | Segment::Capture(_) => return Err(Mismatch::Other),
            }
        }
        match (given.next(), fault) {
            (Some(_), _) => Err(Mismatch::Other),
            (None, Some(fault)) => Err(Mismatch::Capture(fault)),
            (None, None) => Ok(captures),
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
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

/// Why `value`, a decoded segment, is not captured. A `*` is not: tokens would take it for any segment.
fn objection(name: &str, value: &str) -> Option<CaptureFault> {
    if value.len() > CAPTURE_BYTES {
        return Some(CaptureFault::Length(name.to_owned()));
    }
    let refused = value.chars().find(|&c| !is_capturable(c))?;
    Some(CaptureFault::Character(name.to_owned(), refused))
}

/// Control characters have been refused with the path.
fn is_capturable(c: char) -> bool {
    !c.is_ascii() || is_unreserved(c) || matches!(c, ',' | '@' | ':' | '!' | '+' | '$' | '\'' | '(' | ')' | '=')
}

/// RFC 3986, 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// RFC 3986, 3.3: `pchar`, percent-encodings by their parts. What is not ASCII is encoded for its writer.
pub(super) fn is_written(c: char) -> bool {
    is_capturable(c) || matches!(c, '&' | '*' | ';' | '%')
}

/// The segments of a pattern or a template, whose literals `literal` reads.
pub(super) fn segments(
    text: &str,
    literal: impl Fn(&str) -> Result<String, PatternError>,
) -> Result<Vec<Segment>, PatternError> {
    let mut rest = text.strip_prefix('/').ok_or(PatternError::NotAbsolute)?.split('/').peekable();
    let mut segments = Vec::new();
    while let Some(segment) = rest.next() {
        segments.push(match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => Segment::Capture(capture_name(name)?),
            None if segment.is_empty() && rest.peek().is_some() => return Err(PatternError::EmptyOrDot(String::new())),
            None => Segment::Literal(literal(segment)?),
        });
    }
    Ok(segments)
}

pub(super) fn capture_name(name: &str) -> Result<String, PatternError> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(PatternError::Name(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// Refuses what cannot be written in a segment, and what other programs take for a pattern.
pub(super) fn check_literal(segment: &str) -> Result<(), PatternError> {
    if let Some(character) = segment.chars().find(|&c| !is_written(c)) {
        return Err(PatternError::Character(character));
    }
    if segment.contains('*') {
        return Err(PatternError::Wildcard(segment.to_owned()));
    }
    if segment.strip_prefix(':').is_some_and(|name| capture_name(name).is_ok()) {
        return Err(PatternError::Colon(segment.to_owned()));
    }
    Ok(())
}

/// A literal segment in the form that requests are compared in.
fn literal(segment: &str) -> Result<String, PatternError> {
    check_literal(segment)?;
    match path::decode(segment) {
        Ok(value) if value.contains('*') => Err(PatternError::Wildcard(segment.to_owned())),
        Ok(value) => Ok(value),
        Err(PathFault::Dot) => Err(PatternError::EmptyOrDot(segment.to_owned())),
        Err(fault) => Err(PatternError::Path(fault)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::path::CanonicalPath;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).expect("a pattern")
    }

    #[test]
    fn a_capture_is_one_segment() {
        let prices = pattern("/prices/{symbol}");

        for symbol in ["EUR-USD", "a:b", "a@b.example", "a+b", "zürich", ",@:!+$'()=", "...", "€", "日本"] {
            assert_eq!(prices.matches(&format!("/prices/{symbol}")), Ok(vec![("symbol".into(), symbol.into())]));
        }
        for other in ["/prices", "/prices/", "/prices/a/b", "/prices/a/", "/Prices/a", "prices/a", ""] {
            assert_eq!(prices.matches(other), Err(Mismatch::Other), "{other}");
        }
    }

    #[test]
    fn a_segment_that_is_not_captured_is_named_where_all_else_matches() {
        let prices = pattern("/prices/{symbol}/{field}");
        let fault = |path: &str| prices.matches(path).expect_err("no match");

        for refused in ['*', ';', '&', ' ', '"', '?', '#', '<', '{', '|', '^', '`', '['] {
            let expected = CaptureFault::Character("symbol".to_owned(), refused);
            assert_eq!(fault(&format!("/prices/a{refused}/b")), Mismatch::Capture(expected));
        }
        assert!(prices.matches(&format!("/prices/{}/b", "x".repeat(CAPTURE_BYTES))).is_ok());
        let long = fault(&format!("/prices/b/{}", "x".repeat(CAPTURE_BYTES + 1)));
        assert_eq!(long, Mismatch::Capture(CaptureFault::Length("field".to_owned())));
        assert_eq!(fault("/prices/*/b/c"), Mismatch::Other);
        assert_eq!(fault("/other/*/b"), Mismatch::Other);
    }

    #[test]
    fn a_slash_at_the_end_is_compared_exactly() {
        let (with, without, root) = (pattern("/events/"), pattern("/events"), pattern("/"));

        assert_eq!((with.matches("/events/"), with.matches("/events")), (Ok(vec![]), Err(Mismatch::Other)));
        assert_eq!((without.matches("/events"), without.matches("/events/")), (Ok(vec![]), Err(Mismatch::Other)));
        assert_eq!((root.matches("/"), root.matches("/events")), (Ok(vec![]), Err(Mismatch::Other)));
        assert!(!with.conflicts_with(&without));
        let captured = pattern("/{topic}/");
        assert_eq!(captured.matches("/a/"), Ok(vec![("topic".into(), "a".into())]));
        assert_eq!((captured.matches("/a"), captured.matches("/")), (Err(Mismatch::Other), Err(Mismatch::Other)));
    }

    #[test]
    fn a_literal_is_written_in_any_spelling() {
        for spelling in ["/städte/a:b", "/st%c3%a4dte/a%3Ab", "/%73tädte/a%3ab"] {
            assert_eq!(pattern(spelling).matches("/städte/a:b"), Ok(vec![]), "{spelling}");
            assert!(pattern(spelling).conflicts_with(&pattern("/städte/a:b")), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (bad, error) in [
            ("", PatternError::NotAbsolute),
            ("a", PatternError::NotAbsolute),
            ("//", PatternError::EmptyOrDot(String::new())),
            ("/a//b", PatternError::EmptyOrDot(String::new())),
            ("/..", PatternError::EmptyOrDot("..".into())),
            ("/%2e", PatternError::EmptyOrDot("%2e".into())),
            ("/{}", PatternError::Name(String::new())),
            ("/{a b}", PatternError::Name("a b".into())),
            ("/{*rest}", PatternError::Name("*rest".into())),
            ("/a{b}", PatternError::Character('{')),
            ("/<id>", PatternError::Character('<')),
            ("/a?b", PatternError::Character('?')),
            ("/{a}/{a}", PatternError::Twice("a".into())),
            ("/a%2fb", PatternError::Path(PathFault::Delimiter('/'))),
            ("/a%", PatternError::Path(PathFault::Encoding)),
            ("/w/*", PatternError::Wildcard("*".into())),
            ("/w/**", PatternError::Wildcard("**".into())),
            ("/w/a*", PatternError::Wildcard("a*".into())),
            ("/w/%2A", PatternError::Wildcard("%2A".into())),
            ("/w/:id", PatternError::Colon(":id".into())),
        ] {
            assert_eq!(PathPattern::parse(bad), Err(error), "{bad}");
        }
        assert!(pattern("/w/%3Aid").matches("/w/:id").is_ok());
    }

    proptest! {
        #[test]
        fn what_is_captured_is_the_segment_and_no_wildcard(raw in "/[ -~\u{80}-\u{2ff}]{1,30}") {
            let Ok(path) = CanonicalPath::parse(&raw) else { return Ok(()) };
            if let Ok(captures) = pattern("/{name}").matches(path.decoded()) {
                let [(_, value)] = captures.as_slice() else { panic!("one capture: {captures:?}") };
                prop_assert_eq!(format!("/{value}"), path.decoded());
                prop_assert!(!value.is_empty() && value != "." && value != "..");
                prop_assert!(!value.chars().any(|c| "/\\;*%?#&\" ".contains(c) || c.is_control()), "{value:?}");
            }
        }
    }
}
