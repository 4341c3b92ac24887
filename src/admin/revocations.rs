//! `/revocations`: lists, adds and removes revocations.
//!
//! Checks methods and bounds, turns errors into status codes and describes entries in JSON. `auth` validates ids and
//! bodies, and owns the table.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use url::form_urlencoded;

use super::blocking::{blocking, internal_error};
use super::body::read_body;
use super::reply::{self, Body, empty, problem, wrong_method};
use crate::auth::{
    Reach, RestoreError, RevocationError, RevocationId, RevocationRow, Revocations, revocation_from_json, rfc3339,
};
use crate::runtime::panics::Panics;

/// Whether [`respond`] answers this path.
pub(super) fn matches(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for the list or for one of its entries.
pub(super) async fn respond<B>(panics: &Panics, revocations: &Revocations, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = request.uri().path().strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    match (id, request.method()) {
        (None, &Method::GET | &Method::HEAD) => list(panics, revocations.clone(), request.uri().query()).await,
        (None, &Method::POST) => revoke(panics, revocations.clone(), request).await,
        (None, _) => wrong_method("GET, HEAD, POST"),
        (Some(id), &Method::DELETE) => restore(panics, revocations.clone(), id).await,
        (Some(_), _) => wrong_method("DELETE"),
    }
}

async fn list(panics: &Panics, revocations: Revocations, query: Option<&str>) -> Response<Body> {
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let after = parameters.find(|(name, _)| name == "after").map(|(_, id)| id.into_owned());
    let Ok(after) = after.map(|after| RevocationId::parse(&after).ok_or(())).transpose() else {
        return problem(StatusCode::BAD_REQUEST, INVALID_AFTER);
    };
    // Serializes there as well, because a page has up to a thousand rows.
    let answer = blocking(panics, PATH, move || {
        let page = revocations.list(after, SystemTime::now());
        let rows: Vec<_> = page.rows.iter().map(describe).collect();
        let next = page.next.map(|id| id.to_string());
        reply::json(StatusCode::OK, &json!({ "revocations": rows, "next": next }))
    });
    answer.await.unwrap_or_else(internal_error)
}

async fn revoke<B>(panics: &Panics, revocations: Revocations, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = match read_body(request, BODY_BYTES).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let shared = revocations.clone();
    let added = blocking(panics, PATH, move || {
        let now = SystemTime::now();
        let id = revocations.revoke(revocation_from_json(&body, now)?, now)?;
        tracing::info!(%id, "revocation added");
        Ok(id)
    });
    match added.await {
        Some(Ok(id)) => match shared.share(id).await {
            Reach::All => reply::json(StatusCode::OK, &json!({ "revoked": true, "id": id.to_string() })),
            Reach::Here => {
                let answer = json!({ "revoked": true, "id": id.to_string(), "cluster": "pending" });
                reply::json(StatusCode::ACCEPTED, &answer)
            }
        },
        Some(Err(error)) => {
            let error: RevocationError = error;
            reply::json(status(&error), &json!({ "revoked": false, "detail": error.to_string() }))
        }
        None => internal_error(),
    }
}

async fn restore(panics: &Panics, revocations: Revocations, id: String) -> Response<Body> {
    let runtime = Handle::current();
    // It locks the table, which may be large, and waits for the other gateways a few seconds at most.
    let removed = blocking(panics, PATH, move || {
        let outcome = match RevocationId::parse(&id) {
            Some(known) => runtime.block_on(revocations.restore_everywhere(known)),
            None => Err(RestoreError::Unknown),
        };
        if matches!(outcome, Ok(_) | Err(RestoreError::StillFiled)) {
            tracing::info!(id, "revocation removed");
        }
        outcome
    });
    let Some(outcome) = removed.await else { return internal_error() };
    match outcome {
        Ok(Reach::All) => empty(StatusCode::NO_CONTENT),
        Ok(Reach::Here) => reply::json(StatusCode::ACCEPTED, &json!({ "cluster": "pending" })),
        Err(error) => {
            let status = match error {
                RestoreError::Unknown => StatusCode::NOT_FOUND,
                RestoreError::Filed | RestoreError::StillFiled => StatusCode::CONFLICT,
                RestoreError::Waiting => StatusCode::SERVICE_UNAVAILABLE,
            };
            problem(status, &error.to_string())
        }
    }
}

fn status(error: &RevocationError) -> StatusCode {
    match error {
        RevocationError::Full { .. } | RevocationError::Claims => StatusCode::INSUFFICIENT_STORAGE,
        RevocationError::NotJson(_)
        | RevocationError::Form
        | RevocationError::Value
        | RevocationError::Name(_)
        | RevocationError::Ttl
        | RevocationError::File(_)
        | RevocationError::Missing
        | RevocationError::Emptied { .. }
        | RevocationError::InFile { .. } => StatusCode::BAD_REQUEST,
    }
}

/// Describes an entry. `jti` and `sub` are members of their own, as in a posted body; `claim` names any other claim.
fn describe(row: &RevocationRow) -> Value {
    let mut described = json!({
        "id": row.id.to_string(),
        "value": row.value,
        "until": row.until.map(rfc3339::format),
        "from": row.from.as_str(),
    });
    match row.claim.as_str() {
        short @ ("jti" | "sub") => described[short] = row.value.as_str().into(),
        claim => described["claim"] = claim.into(),
    }
    described
}

const PATH: &str = "/revocations";
const BODY_BYTES: usize = 64 * 1024;
const INVALID_AFTER: &str = "invalid after: expected the next id of the previous page, 64 hex digits";
