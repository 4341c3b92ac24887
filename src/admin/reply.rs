//! The responses of the admin port, with their common headers.
//!
//! No cache stores them and no browser sniffs their type. Errors are problem details (RFC 9457).

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) const JSON: &str = "application/json";

pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    stream(status, content_type, Full::new(body.into()).boxed_unsync())
}

pub(super) fn stream(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = with_body(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Makes a response without a body, and so without a content type.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    with_body(status, Body::default())
}

fn with_body(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    // Serialization fails only for maps with non-string keys or a failing `Serialize`. No answer here has either.
    reply(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

/// Makes a problem-details response with this detail.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Refused");
    let body =
        serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    reply(status, "application/problem+json", body.to_string())
}

pub(super) fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed for this resource");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Allows the page's own files only, no frame around it and no form target.
const POLICY: &str = "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
