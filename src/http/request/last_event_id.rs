//! The last event id that a client sends: the header `Last-Event-ID`, else a query parameter.
//!
//! A client that sends an id is never treated as one that sends none: a value that cannot be an id counts as an id that
//! no log has. Does not know whether a log has the id.

use std::borrow::Cow;

use http::request::Parts;

use super::query::Query;
use crate::sse::EventId;

/// The last event id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEventId {
    /// There is none. An `EventSource` without an id sends no header, or an empty one.
    None,
    /// This id.
    Known(EventId),
    /// A value that no event can have as its id.
    Unreadable,
}

impl LastEventId {
    /// Reads the id from a request. `parameters` are the query parameters that count if there is no header. The last of
    /// several values counts, since code that adds one to a URL appends it.
    pub fn from_head(head: &Parts, query: &Query, parameters: &[String]) -> Self {
        match head.headers.get_all("last-event-id").iter().next_back() {
            Some(field) => Self::decode(field.as_bytes().trim_ascii()),
            None => query.last_non_empty(parameters).map_or(Self::None, Self::decode),
        }
    }

    /// Decodes UTF-8, else Latin-1: some clients send header values of characters below 256 in that form.
    fn decode(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::None;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
        };
        EventId::new(text).map_or(Self::Unreadable, Self::Known)
    }

    /// Returns the id, if it is one.
    pub fn id(&self) -> Option<&EventId> {
        match self {
            Self::Known(id) => Some(id),
            Self::None | Self::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn of(target: &str, fields: &[&[u8]]) -> LastEventId {
        let mut request = Request::get(target);
        for field in fields {
            request = request.header("last-event-id", HeaderValue::from_bytes(field).expect("a header value"));
        }
        let names = ["last_event_id", "lastEventId"].map(str::to_owned);
        let head = request.body(()).expect("a request").into_parts().0;
        LastEventId::from_head(&head, &Query::parse(head.uri.query().unwrap_or_default()), &names)
    }

    fn known(id: &str) -> LastEventId {
        LastEventId::Known(EventId::new(id).expect("an id"))
    }

    #[test]
    fn a_header_is_utf_8_or_latin_1_and_the_last_one_counts() {
        assert_eq!(of("/a", &["caf\u{e9}".as_bytes()]), known("caf\u{e9}"));
        assert_eq!(of("/a", &[b"caf\xe9"]), known("caf\u{e9}"));
        assert_eq!(of("/a", &[b"1", b"2"]), known("2"));
        assert_eq!(of("/a", &[b" \t4 "]), known("4"));
        assert_eq!(of("/a?last_event_id=1", &[b""]), LastEventId::None);
    }

    #[test]
    fn a_parameter_is_read_under_each_name_and_the_last_one_counts() {
        assert_eq!(of("/a?last_event_id=1&x=2", &[]), known("1"));
        assert_eq!(of("/a?lastEventId=1&last_event_id=2&lastEventId=", &[]), known("2"));
        assert_eq!(of("/a?last%5Fevent_id=a+b%26%E2%82%AC", &[]), known("a b&\u{20ac}"));
        assert_eq!(of("/a?last_event_id=caf%E9", &[]), known("caf\u{e9}"));
        assert_eq!(of("/a?last_event_id", &[]), LastEventId::None);
        assert_eq!(of("/a?other=1", &[]), LastEventId::None);
    }

    #[test]
    fn a_value_that_cannot_be_an_id_is_unreadable_and_not_none() {
        for value in ["%00", "a%00b", "a%0Ab", "%0D"] {
            assert_eq!(of(&format!("/a?last_event_id={value}"), &[]), LastEventId::Unreadable, "{value}");
        }
    }
}
