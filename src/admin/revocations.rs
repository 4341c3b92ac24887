//! `/revocations`: lists, adds and removes revocations.
//!
//! Checks methods and bounds and forms the responses. The gateway validates ids and bodies.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use url::form_urlencoded;

use super::RevocationActions;
use super::blocking::{blocking, internal_error};
use super::body::read_body;
use super::reply::{Body, empty, json, problem, wrong_method};
use crate::runtime::panics::Panics;

/// Whether [`respond`] answers this path.
pub(super) fn matches(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for the list or for one of its entries.
pub(super) async fn respond<B>(
    panics: &Panics,
    revocations: Arc<dyn RevocationActions>,
    request: Request<B>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = request.uri().path().strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    match (id, request.method()) {
        (None, &Method::GET | &Method::HEAD) => list(panics, revocations, request.uri().query()).await,
        (None, &Method::POST) => revoke(panics, revocations, request).await,
        (None, _) => wrong_method("GET, HEAD, POST"),
        (Some(id), &Method::DELETE) => restore(panics, revocations, id).await,
        (Some(_), _) => wrong_method("DELETE"),
    }
}

async fn list(panics: &Panics, revocations: Arc<dyn RevocationActions>, query: Option<&str>) -> Response<Body> {
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let after = parameters.find(|(name, _)| name == "after").map(|(_, id)| id.into_owned());
    // Serializes there as well, because a page has up to a thousand rows.
    let answer = blocking(panics, PATH, move || match revocations.list(after.as_deref()) {
        Ok(page) => json(StatusCode::OK, &page),
        Err((status, words)) => problem(status, &words),
    });
    answer.await.unwrap_or_else(internal_error)
}

async fn revoke<B>(panics: &Panics, revocations: Arc<dyn RevocationActions>, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = match read_body(request, BODY_BYTES).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let answer = blocking(panics, PATH, move || revocations.revoke(body)).await;
    answer.map_or_else(internal_error, |(status, value)| json(status, &value))
}

async fn restore(panics: &Panics, revocations: Arc<dyn RevocationActions>, id: String) -> Response<Body> {
    match blocking(panics, PATH, move || revocations.restore(&id)).await {
        Some(Ok(())) => empty(StatusCode::NO_CONTENT),
        Some(Err((status, words))) => problem(status, &words),
        None => internal_error(),
    }
}

const PATH: &str = "/revocations";
const BODY_BYTES: usize = 64 * 1024;
