//! The place that a client names: the header `Last-Event-ID`, else a query parameter.
//!
//! Whoever names a place, in whatever way, never counts as one who names none: what cannot be an id is a place that nobody
//! knows. Does not know whether a log has it.

use std::borrow::Cow;

use http::request::Parts;

use super::query::Query;
use crate::sse::EventId;

/// A place in a stream, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEventId {
    /// None was named. An event source that has none sends nothing, or nothing behind the name.
    None,
    /// This id.
    Known(EventId),
    /// What no event can have had as its id.
    Unreadable,
}

impl LastEventId {
    /// Reads it from a request's head; `parameters` are the query parameters that are read where there is no header. The
    /// last of several counts: who adds one to a URL puts it behind what stands there.
    pub fn of(head: &Parts, query: &Query, parameters: &[String]) -> Self {
        match head.headers.get_all("last-event-id").iter().next_back() {
            Some(field) => Self::read(field.as_bytes().trim_ascii()),
            None => query.last_non_empty(parameters).map_or(Self::None, Self::read),
        }
    }

    /// Bytes that are not UTF-8 are Latin-1: so do clients send it that have headers of characters below 256.
    fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::None;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
        };
        EventId::new(text).map_or(Self::Unreadable, Self::Known)
    }

    /// The id, if it is one.
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
            request = request.header("last-event-id", HeaderValue::from_bytes(field).expect("a field"));
        }
        let names = ["last_event_id", "lastEventId"].map(str::to_owned);
        let head = request.body(()).expect("a request").into_parts().0;
        LastEventId::of(&head, &Query::parse(head.uri.query().unwrap_or_default()), &names)
    }

    fn known(id: &str) -> LastEventId {
        LastEventId::Known(EventId::new(id).expect("an id"))
    }

    #[test]
    fn a_field_is_utf_8_or_latin_1_and_the_last_one_counts() {
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
    fn what_no_event_can_have_as_its_id_is_not_none() {
        for value in ["%00", "a%00b", "a%0Ab", "%0D"] {
            assert_eq!(of(&format!("/a?last_event_id={value}"), &[]), LastEventId::Unreadable, "{value}");
        }
    }
}
