//! Facts about a request's head: the connection that brought it, and what it accepts and announces.
//!
//! Does not refuse anything: the service does.

use http::header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;

use crate::listen::Peer;

/// What is known about the connection that brought the request.
pub fn peer(head: &Parts) -> &Peer {
    head.extensions.get().expect("listeners say who the peer is")
}

/// RFC 9110, 12.5.1: no `Accept` accepts everything; of the ranges that cover us, the most specific one decides.
pub fn accepts_event_stream(head: &Parts) -> bool {
    let fields = head.headers.get_all(ACCEPT).iter();
    let ranges = fields.flat_map(|field| field.to_str().unwrap_or("unreadable").split(',')).map(str::trim);
    let mut ranges = ranges.filter(|range| !range.is_empty()).peekable();
    // An empty list asks for nothing in particular (RFC 9110, 5.6.1), like a field that is absent.
    if ranges.peek().is_none() {
        return true;
    }
    let decisive = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        // Java's URLConnection has `*` among what it accepts.
        let name = parts.next().map_or("", |name| if name == "*" { "*/*" } else { name });
        let specificity =
            ["*/*", "text/*", "text/event-stream"].iter().position(|ours| name.eq_ignore_ascii_case(ours))?;
        let is_excluded = parts
            .filter_map(|part| part.split_once('='))
            .any(|(key, value)| key.eq_ignore_ascii_case("q") && value.parse::<f32>().is_ok_and(|q| q <= 0.0));
        Some((specificity, !is_excluded))
    });
    decisive.max().is_some_and(|(_, is_accepted)| is_accepted)
}

/// Whether an event source asks, which any status but 200 would stop for good.
pub fn is_event_stream_request(head: &Parts) -> bool {
    head.headers
        .get_all(ACCEPT)
        .iter()
        .any(|field| field.to_str().is_ok_and(|field| field.to_ascii_lowercase().contains("text/event-stream")))
}

/// Whether the client said that a body follows (RFC 9112, 6).
pub fn announces_body(head: &Parts) -> bool {
    head.headers.contains_key(TRANSFER_ENCODING) || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}
