//! Path patterns with captures.
//!
//! A pattern is compared with the decoded segments of a canonical path, so that all spellings of a path match the same
//! patterns. Pure. Does not know routes.

use std::fmt;

use super::path::{self, PathFault};

/// A path with captures, such as `/prices/{symbol}`. A capture is one whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a pattern or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A literal: decoded in a pattern, percent-encoded in a template. An empty one is only the last segment, after a
    /// slash at the end.
    Literal(String),
    /// A capture, by its name.
    Capture(String),
    /// The rest of the path, by its name. Only the last segment of a pattern.
    Rest(String),
}

/// The captures of a path: names and decoded segments in the order of the pattern.
pub type Captures = Vec<(String, String)>;

/// The reason why a pattern or a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is not absolute.
    #[error("a path starts with \"/\"")]
    NotAbsolute,
    /// A segment is empty (`//`), `.` or `..`.
    #[error("invalid segment {0:?}: empty, or a dot segment")]
    EmptyOrDot(String),
    /// A literal segment contains a character that it cannot hold.
    #[error("invalid character {0:?}; a capture is one whole segment, such as /{{name}}/")]
    Character(char),
    /// A literal segment has no canonical form.
    #[error("no request can match this path: {0}")]
    Path(PathFault),
    /// A literal segment contains `*`, which is a wildcard in other software, and in tokens.
    #[error(
        "{0:?} is not a wildcard here: {{name}} is any one segment, and {{*name}} as the last segment of a route with \
         [routes.forward] is the rest of the path"
    )]
    Wildcard(String),
    /// A literal segment looks like `:id`, which is a capture in other software.
    #[error("{0:?} is not a capture here: a capture is written {{name}}, a literal \":\" at the start %3A")]
    Colon(String),
    /// The name of a capture is empty or has other characters: `{}` or `{a-b}`.
    #[error("invalid capture name {0:?}: expected letters, digits and \"_\"")]
    CaptureName(String),
    /// A rest is not the last segment: `/{*a}/b`.
    #[error("{{*{0}}} is the rest of a path, so it is the last segment")]
    RestNotLast(String),
    /// Two captures have the same name.
    #[error("duplicate capture {0:?}")]
    DuplicateCapture(String),
    /// A template has a capture that the pattern does not have.
    #[error("unknown capture {0:?}: not captured by the route's path")]
    UnknownCapture(String),
    /// The query of a template contains a character that it cannot hold there.
    #[error(
        "invalid character {0:?} in the query: expected NAME=VALUE&…, where a value may hold {{name}}; encode other characters as %XX"
    )]
    Query(char),
}

/// The reason why a path does not match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Its segments differ.
    Other,
    /// All segments match, but a capture does not accept its segment.
    Capture(CaptureFault),
}

/// The reason why a capture does not accept a segment. Displayed after "invalid path: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureFault {
    /// The segment is longer than [`CAPTURE_BYTES`].
    #[error("the segment for {{{0}}} is longer than {CAPTURE_BYTES} bytes")]
    Length(String),
    /// The segment contains a character that captures do not accept.
    #[error("the segment for {{{0}}} contains {1:?}, which captures do not accept")]
    Character(String, char),
}

/// The most bytes of a captured segment, decoded. It becomes a part of a stream's key.
pub const CAPTURE_BYTES: usize = 1024;

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let segments = parse_segments(text, parse_literal)?;
        let mut seen = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            if let Segment::Rest(name) = segment
                && index + 1 < segments.len()
            {
                return Err(PatternError::RestNotLast(name.clone()));
            }
            if let Segment::Capture(name) | Segment::Rest(name) = segment {
                if seen.contains(&name) {
                    return Err(PatternError::DuplicateCapture(name.clone()));
                }
                seen.push(name);
            }
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names of the captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) | Segment::Rest(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// Whether the last segment is the rest of a path.
    pub fn has_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// Matches the decoded form of a canonical path. Returns its captures.
    ///
    /// # Errors
    /// The reason why it does not match.
    pub fn matches(&self, path: &str) -> Result<Captures, Mismatch> {
        self.matches_by(path, |literal, value| literal == value)
    }

    /// Like [`Self::matches`], but `is_equal` compares a literal with a segment.
    pub(super) fn matches_by(&self, path: &str, is_equal: impl Fn(&str, &str) -> bool) -> Result<Captures, Mismatch> {
        let mut captures = Captures::new();
        let mut fault = None;
        let mut rest = Some(path.strip_prefix('/').ok_or(Mismatch::Other)?);
        for segment in &self.segments {
            let given = rest.ok_or(Mismatch::Other)?;
            if let Segment::Rest(name) = segment {
                // It is sent on and is no part of a stream's key, so it may have any character of a canonical path.
                captures.push((name.clone(), given.to_owned()));
                rest = None;
                break;
            }
            let (value, behind) = given.split_once('/').map_or((given, None), |(value, rest)| (value, Some(rest)));
            rest = behind;
            match segment {
                Segment::Literal(literal) if is_equal(literal, value) => {}
                Segment::Capture(name) if !value.is_empty() => {
                    fault = fault.or_else(|| capture_fault(name, value));
                    captures.push((name.clone(), value.to_owned()));
                }
                Segment::Literal(_) | Segment::Capture(_) | Segment::Rest(_) => return Err(Mismatch::Other),
            }
        }
        match (rest, fault) {
            (Some(_), _) => Err(Mismatch::Other),
            (None, Some(fault)) => Err(Mismatch::Capture(fault)),
            (None, None) => Ok(captures),
        }
    }

    /// Whether the pattern matches the path in any case, each with or without a slash at the end.
    pub(super) fn matches_loosely(&self, path: &str) -> bool {
        let is_equal = |literal: &str, value: &str| match literal.is_ascii() && value.is_ascii() {
            true => literal.eq_ignore_ascii_case(value),
            false => literal.to_lowercase() == value.to_lowercase(),
        };
        let trimmed = path.trim_end_matches('/');
        [path, trimmed, &format!("{trimmed}/")].into_iter().any(|path| {
            let path = if path.is_empty() { "/" } else { path };
            // A capture that does not accept its segment says nothing about what other software accepts.
            self.matches_by(path, is_equal) != Err(Mismatch::Other)
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns a sort key that puts the most specific pattern first: a literal segment before a capture, before the rest.
    pub fn specificity(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Capture(_) => 1,
            Segment::Rest(_) => 2,
        };
        self.segments.iter().map(rank).collect()
    }

    /// Whether some path matches both patterns and neither of them is more specific.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Capture(_), Segment::Capture(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
                (Segment::Literal(_) | Segment::Capture(_) | Segment::Rest(_), _) => false,
            })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the reason why a capture does not accept a decoded segment. A `*` is refused since it matches any segment in
/// tokens.
fn capture_fault(name: &str, value: &str) -> Option<CaptureFault> {
    if value.len() > CAPTURE_BYTES {
        return Some(CaptureFault::Length(name.to_owned()));
    }
    let refused = value.chars().find(|&c| !is_capturable(c))?;
    Some(CaptureFault::Character(name.to_owned(), refused))
}

/// Whether captures accept a character. Control characters have no canonical path.
fn is_capturable(c: char) -> bool {
    !c.is_ascii() || is_unreserved(c) || matches!(c, ',' | '@' | ':' | '!' | '+' | '$' | '\'' | '(' | ')' | '=')
}

/// Whether a character is unreserved (RFC 3986, 2.3).
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// Whether a literal may contain a character: `pchar` (RFC 3986, 3.3), the percent sign of an encoding, or a character
/// beyond ASCII, which is encoded later.
pub(super) fn is_literal_char(c: char) -> bool {
    is_capturable(c) || matches!(c, '&' | '*' | ';' | '%')
}

/// Parses the segments of a pattern or a template. `literal` parses a literal segment.
pub(super) fn parse_segments(
    text: &str,
    literal: impl Fn(&str) -> Result<String, PatternError>,
) -> Result<Vec<Segment>, PatternError> {
    let mut rest = text.strip_prefix('/').ok_or(PatternError::NotAbsolute)?.split('/').peekable();
    let mut segments = Vec::new();
    while let Some(segment) = rest.next() {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        segments.push(match name {
            Some(name) if name.starts_with('*') => Segment::Rest(capture_name(&name[1..])?),
            Some(name) => Segment::Capture(capture_name(name)?),
            None if segment.is_empty() && rest.peek().is_some() => return Err(PatternError::EmptyOrDot(String::new())),
            None => Segment::Literal(literal(segment)?),
        });
    }
    Ok(segments)
}

/// Checks the name of a capture.
pub(super) fn capture_name(name: &str) -> Result<String, PatternError> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(PatternError::CaptureName(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// Refuses characters that a segment cannot hold, and the wildcards and captures of other software.
pub(super) fn check_literal(segment: &str) -> Result<(), PatternError> {
    if let Some(character) = segment.chars().find(|&c| !is_literal_char(c)) {
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

/// Parses a literal segment into its decoded form, which requests are compared with.
fn parse_literal(segment: &str) -> Result<String, PatternError> {
    check_literal(segment)?;
    match path::decode(segment) {
        Ok(value) if value.contains('*') => Err(PatternError::Wildcard(segment.to_owned())),
        Ok(value) => Ok(value),
        Err(PathFault::Dot) => Err(PatternError::EmptyOrDot(segment.to_owned())),
        Err(fault) => Err(PatternError::Path(fault)),
    }
}

#[cfg(test)]
mod tests;
