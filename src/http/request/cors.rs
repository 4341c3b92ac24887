//! Which pages of other origins may read a response (Fetch standard, 3.2).
//!
//! Origins are compared exactly. A refusal carries the same headers as an answer, or the page could not see why.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::route::{Cors, Settings};

/// Whether this is a browser asking what it may ask.
pub fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether the route lets pages of this origin read it.
pub fn allows(cors: &Cors, origin: &str) -> bool {
    cors.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
}

/// The answer to a preflight. Without permission it says nothing, and the browser refuses.
pub fn preflight(route: &Settings, head: &Parts, methods: &'static str) -> Response<Bytes> {
    let cors = route.cors.as_ref();
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if permit(cors, head, headers) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        // An id longer than 128 bytes, and any token, make a browser ask; `*` would not cover a token (Fetch, 3.2.3).
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, cache-control, content-type, last-event-id"),
        );
        for name in route.share.headers.iter().chain(cors.into_iter().flat_map(|cors| &cors.headers)) {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, name.clone().into());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Adds what lets the page that asked read the response; false if it may not.
pub fn permit(cors: Option<&Cors>, head: &Parts, headers: &mut HeaderMap) -> bool {
    let Some(cors) = cors else { return false };
    // Also without permission: a cache must not give one origin's answer to another.
    headers.append(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = head.headers.get(ORIGIN) else { return false };
    if !origin.to_str().is_ok_and(|origin| allows(cors, origin)) {
        return false;
    }
    let is_for_all = !cors.credentials && cors.origins.iter().any(|allowed| allowed == "*");
    let permitted = if is_for_all { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, permitted);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("rillgate-resume, x-request-id"));
    if cors.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}
