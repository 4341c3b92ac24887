//! Facts about a request's head: what the client accepts and announces.

use http::header::{ACCEPT, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::request::Parts;

use crate::http::response::rejection::Rejection;
use crate::listen::IncomingRequest;

/// Whether the client accepts `text/event-stream` (RFC 9110, 12.5.1): without `Accept` it accepts everything; of the
/// ranges that match, the most specific one decides.
pub(crate) fn accepts_event_stream(head: &Parts) -> bool {
    let fields = head.headers.get_all(ACCEPT).iter();
    let ranges = fields.flat_map(|field| field.to_str().unwrap_or("unreadable").split(',')).map(str::trim);
    let mut ranges = ranges.filter(|range| !range.is_empty()).peekable();
    // An empty list (RFC 9110, 5.6.1) counts as an absent field.
    if ranges.peek().is_none() {
        return true;
    }
    let decisive = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        // Java's URLConnection sends `*` among its ranges.
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

/// Whether the client names `text/event-stream`, as an `EventSource` does. It never reconnects after a status other than
/// 200.
pub(crate) fn is_event_stream_request(head: &Parts) -> bool {
    head.headers
        .get_all(ACCEPT)
        .iter()
        .any(|field| field.to_str().is_ok_and(|field| field.to_ascii_lowercase().contains("text/event-stream")))
}

/// Whether the head announces a body (RFC 9112, 6).
pub(crate) fn announces_body(head: &Parts) -> bool {
    head.headers.contains_key(TRANSFER_ENCODING) || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// Refuses a request that another reader of the same bytes could read as another one.
///
/// # Errors
/// 400.
pub(crate) fn check_framing(request: &IncomingRequest) -> Result<(), Rejection> {
    match request.is_ambiguous {
        true => Err(Rejection::malformed("The request is ambiguous: a bare line feed, or two lengths of the body.")),
        false => Ok(()),
    }
}

/// Refuses a body whose announced length is above `max` bytes, which the route's `key` sets.
///
/// # Errors
/// 413, or 400 as for [`content_length`].
pub(crate) fn check_length(head: &Parts, max: u64, key: &'static str) -> Result<(), Rejection> {
    match content_length(head)? {
        Some(length) if length > max => Err(Rejection::BodyTooLarge { max, key }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an expectation that no part of the gateway meets (RFC 9110, 10.1.1).
///
/// # Errors
/// 417 for anything but `100-continue`.
pub(crate) fn check_expectation(head: &Parts) -> Result<(), Rejection> {
    let mut expectations = head.headers.get_all(EXPECT).iter();
    match expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(()),
        false => Err(Rejection::Expectation),
    }
}

/// Returns the length that the head announces, if it does.
///
/// # Errors
/// 400 if the body has two lengths or none that is clear: another reader of the request could use the other one (RFC
/// 9112, 6.3 and 11.2).
fn content_length(head: &Parts) -> Result<Option<u64>, Rejection> {
    let ambiguous = || Rejection::malformed("The length of the body is ambiguous.");
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next(), lengths.next());
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let (coding, other) = (codings.next(), codings.next());
    if second.is_some() || other.is_some() || (length.is_some() && coding.is_some()) {
        return Err(ambiguous());
    }
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(ambiguous());
    }
    let Some(length) = length else { return Ok(None) };
    let digits = length.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(ambiguous)
}
