//! The header fields of an event stream.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Inserts the header fields that every event stream has. `X-Accel-Buffering` turns off the buffering of nginx.
pub(crate) fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Inserts `Incremental`, which asks intermediaries to forward each piece at once (RFC 10036).
pub(crate) fn incremental(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("incremental"), HeaderValue::from_static("?1"));
}
