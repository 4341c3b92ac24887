//! The header fields of an event stream.

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::coding::ContentCoding;

/// Inserts the header fields that every event stream has. `X-Accel-Buffering` turns off the buffering of nginx.
pub(crate) fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Inserts the content coding of a response, and what it depends on.
pub(crate) fn content_coding(headers: &mut HeaderMap, coding: Option<ContentCoding>) {
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
}

/// Inserts `Incremental`, which asks intermediaries to forward each piece at once (RFC 10036).
pub(crate) fn incremental(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("incremental"), HeaderValue::from_static("?1"));
}
