//! Where the last completed id goes when a stream is asked to go on after it.
//!
//! An id is sent as it is or not at all: never shortened, never in the place of something configured.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::sse::EventId;

/// `upstreams.NAME.resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// In this header field. Default `Last-Event-ID`.
    Header(HeaderName),
    /// In this query parameter, percent-encoded.
    Query(String),
}

impl Resume {
    /// Whether the upstream would see this id as it is: no header has spaces around its value.
    pub fn carries(&self, id: &EventId) -> bool {
        let id = id.as_str();
        match self {
            Self::Header(_) => field(id).is_some() && id.trim_matches([' ', '\t']) == id,
            Self::Query(_) => is_sent(id),
        }
    }

    /// The field that asks to go on after the id, if it goes into one.
    pub(super) fn header(&self, id: &EventId) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Header(name) => Some((name.clone(), field(id.as_str())?)),
            Self::Query(_) => None,
        }
    }

    /// Adds the parameter that asks to go on after the id to a path with its query, if it goes into one.
    pub(super) fn add_query(&self, path: &mut String, id: &EventId) {
        if let Self::Query(name) = self
            && is_sent(id.as_str())
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

fn is_sent(id: &str) -> bool {
    (1..=MOST_BYTES).contains(&id.len())
}

fn field(id: &str) -> Option<HeaderValue> {
    is_sent(id).then(|| HeaderValue::from_bytes(id.as_bytes()).ok()).flatten()
}

/// Most bytes of an id that is sent upstream: servers refuse heads with longer fields.
const MOST_BYTES: usize = 16 * 1024;

/// Everything but RFC 3986's unreserved characters.
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
    fn a_parameter_takes_every_id_that_is_not_too_long() {
        assert_eq!(path(&id("7"), "/feed"), "/feed?since=7");
        assert_eq!(path(&id("7 é&\u{1}/"), "/feed?a=b"), "/feed?a=b&since=7%20%C3%A9%26%01%2F");
        assert!(is_sent(&"x".repeat(MOST_BYTES)) && !is_sent(&"x".repeat(MOST_BYTES + 1)));
        assert_eq!(path(&id(""), "/"), "/");
    }

    #[test]
    fn a_header_takes_what_it_can_carry() {
        assert_eq!(field("7 é").as_ref().map(HeaderValue::as_bytes), Some("7 é".as_bytes()));
        assert_eq!((field("7\u{1}"), field(""), field(&"x".repeat(MOST_BYTES + 1))), (None, None, None));
        assert_eq!(field(&"x".repeat(MOST_BYTES)).map(|value| value.len()), Some(MOST_BYTES));
        let (name, value) = Resume::default().header(&id("7")).expect("a field");
        assert_eq!((name.as_str(), value.as_bytes()), ("last-event-id", &b"7"[..]));
        assert!(Resume::default().carries(&id("7")) && !Resume::default().carries(&id(" 7")));
        assert!(Resume::Query("since".to_owned()).carries(&id(" 7")));
    }
}
