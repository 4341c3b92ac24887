//! Cross-origin resource sharing: which pages of other origins may read a response (Fetch standard, 3.2).
//!
//! Origins are compared exactly. A refusal has the same header fields as a stream, or the page could not read the reason.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::route::{Cors, Settings};

/// Whether this is a preflight request.
pub(crate) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether pages of this origin may read the route.
pub(crate) fn is_allowed(cors: &Cors, origin: &str) -> bool {
    cors.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
}

/// Returns the response to a preflight request. For an origin that is not allowed it has no `Access-Control` fields, so
/// the browser refuses.
pub(crate) fn preflight(route: &Settings, head: &Parts, methods: &'static str) -> Response<Bytes> {
    let cors = route.cors.as_ref();
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if add_headers(cors, head, headers) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        // Browsers ask about any token, and about an id longer than 128 bytes. `*` does not cover `Authorization`
        // (Fetch, 3.2.3).
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, cache-control, content-type, last-event-id"),
        );
        let of_post = route.post.iter().flat_map(|post| post.header_names());
        let of_cors = cors.into_iter().flat_map(|cors| &cors.headers);
        for name in route.share.headers.iter().chain(of_cors).chain(of_post) {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, name.clone().into());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Adds the header fields that let the requesting page read the response. Returns whether it may.
pub(crate) fn add_headers(cors: Option<&Cors>, head: &Parts, headers: &mut HeaderMap) -> bool {
    let Some(cors) = cors else { return false };
    // Needed for every origin: a cache must not give one origin's response to another.
    headers.append(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = head.headers.get(ORIGIN) else { return false };
    if !origin.to_str().is_ok_and(|origin| is_allowed(cors, origin)) {
        return false;
    }
    let is_for_all = !cors.credentials && cors.origins.iter().any(|allowed| allowed == "*");
    let allowed = if is_for_all { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("rillgate-resume, x-request-id"));
    if cors.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}
