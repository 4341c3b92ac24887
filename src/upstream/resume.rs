//! The place of the last event id in a request that resumes a stream.
//!
//! An id is sent unchanged or not at all. It is never truncated and never replaces a configured value.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::sse::EventId;

/// The key `upstreams.NAME.resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Send the id in this header. Default: `Last-Event-ID`.
    Header(HeaderName),
    /// Send the id in this query parameter, percent-encoded.
    Query(String),
}

impl Resume {
    /// Returns true if the upstream receives this id unchanged. HTTP strips white space around a header's value.
    pub fn can_carry(&self, id: &EventId) -> bool {
        let id = id.as_str();
        match self {
            Self::Header(_) => header_value(id).is_some() && id.trim_matches([' ', '\t']) == id,
            Self::Query(_) => is_sendable(id),
        }
    }

    /// Returns the header that carries the id, if a header does.
    pub(super) fn header(&self, id: &EventId) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Header(name) => Some((name.clone(), header_value(id.as_str())?)),
            Self::Query(_) => None,
        }
    }

    /// Adds the query parameter that carries the id, if a parameter does.
    pub(super) fn add_query(&self, path: &mut String, id: &EventId) {
        if let Self::Query(name) = self
            && is_sendable(id.as_str())
        {
            let separator = if path.contains('?') { '&' } else { '?' };
            let value = utf8_percent_encode(id.as_str(), ESCAPED);
            path.push_str(&format!("{separator}{}={value}", utf8_percent_encode(name, ESCAPED)));
        }
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self::Header(HeaderName::from_static("last-event-id"))
    }
}

fn is_sendable(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

fn header_value(id: &str) -> Option<HeaderValue> {
    is_sendable(id).then(|| HeaderValue::from_bytes(id.as_bytes()).ok()).flatten()
}

/// Most bytes of an id that is sent upstream. Servers refuse heads with longer fields.
const MAX_ID_BYTES: usize = 16 * 1024;

/// All characters except RFC 3986's unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EventId {
        EventId::new(text).expect("an id")
    }

    fn path(id: &EventId, path: &str) -> String {
        let mut path = path.to_owned();
        Resume::Query("since".to_owned()).add_query(&mut path, id);
        path
    }

    #[test]
    fn a_parameter_carries_every_id_that_is_not_too_long() {
        assert_eq!(path(&id("7"), "/feed"), "/feed?since=7");
        assert_eq!(path(&id("7 é&\u{1}/"), "/feed?a=b"), "/feed?a=b&since=7%20%C3%A9%26%01%2F");
        assert!(is_sendable(&"x".repeat(MAX_ID_BYTES)) && !is_sendable(&"x".repeat(MAX_ID_BYTES + 1)));
        assert_eq!(path(&id(""), "/"), "/");
    }

    #[test]
    fn a_header_carries_ids_that_are_valid_header_values() {
        assert_eq!(header_value("7 é").as_ref().map(HeaderValue::as_bytes), Some("7 é".as_bytes()));
        assert_eq!(
            (header_value("7\u{1}"), header_value(""), header_value(&"x".repeat(MAX_ID_BYTES + 1))),
            (None, None, None)
        );
        assert_eq!(header_value(&"x".repeat(MAX_ID_BYTES)).map(|value| value.len()), Some(MAX_ID_BYTES));
        let (name, value) = Resume::default().header(&id("7")).expect("a header_value");
        assert_eq!((name.as_str(), value.as_bytes()), ("last-event-id", &b"7"[..]));
        assert!(Resume::default().can_carry(&id("7")) && !Resume::default().can_carry(&id(" 7")));
        assert!(Resume::Query("since".to_owned()).can_carry(&id(" 7")));
    }
}
