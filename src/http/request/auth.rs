//! Who asks: a token, or a one-time ticket in its place; and making such a ticket.
//!
//! Always one of both: a request with a token and a ticket is refused, since another reader could choose the other one.
//! The decision itself is the authorizer's. A ticket is never logged: it is a credential until it is used.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Response};
use tracing::info;

use super::head::peer;
use super::shared_values;
use super::target::RequestTarget;
use crate::auth::{Authorizer, Credentials, Denied, Grant, Requested, TokenFault};
use crate::http::app::App;
use crate::http::response::rejection::Rejection;
use crate::route::{Route, percent};

/// The query parameter that asks for a ticket (`POST`) or is one (`GET`). Cannot be shared, so it never goes upstream.
const TICKET: &str = "ticket";

/// Who decides about tickets, if the route makes any.
pub fn ticket_office(route: &Route) -> Option<&Authorizer> {
    route.authorizer.as_ref().filter(|authorizer| authorizer.settings().tickets)
}

/// Whether the request may read the stream. `None`: without a grant, since the route is public or does not enforce.
/// A ticket is used up by the first request that shows it, `HEAD` included.
///
/// # Errors
/// Why not.
pub async fn admit(
    app: &App,
    route: &Route,
    captures: &[(String, String)],
    target: &RequestTarget,
    head: &Parts,
) -> Result<Option<Grant>, Rejection> {
    let Some(authorizer) = &route.authorizer else { return Ok(None) };
    let shared = shared_values::query_parameters(&route.settings.share, &target.query)?;
    let wanted = Requested { path: target.path.decoded(), captures, shared: Some(&shared) };
    let ticket = if authorizer.settings().tickets { target.query.single(TICKET)? } else { None };
    let decision = match ticket {
        None => by_token(authorizer, route, wanted, target, head).await,
        Some(ticket) => by_ticket(app, authorizer, route, wanted, target, head, &ticket),
    };
    match decision {
        Ok(grant) => Ok(Some(grant)),
        Err(denied) => {
            route.metrics.auth_failure(denied.label());
            if authorizer.settings().enforce {
                return Err(denied.into());
            }
            info!(route = route.metrics.name(), reason = denied.label(), "would be refused (auth.enforce = false)");
            Ok(None)
        }
    }
}

/// Answers `POST PATH?ticket` with a URL that is good once, for this path, in the place of the request's token.
///
/// # Errors
/// Why not. A route that does not enforce refuses here too: there is nothing that a ticket could stand for.
pub async fn issue_ticket(
    app: &App,
    authorizer: &Authorizer,
    route: &Route,
    captures: &[(String, String)],
    target: &RequestTarget,
    head: &Parts,
) -> Result<Response<Bytes>, Rejection> {
    match target.query.single(TICKET)?.as_deref() {
        Some("") => {}
        Some(_) => {
            return Err(Rejection::malformed(
                "Invalid query parameter \"ticket\": POST asks for a ticket, so it has no value.",
            ));
        }
        None => return Err(Rejection::malformed("Missing query parameter \"ticket\": POST is only for PATH?ticket.")),
    }
    let shared = shared_values::query_parameters(&route.settings.share, &target.query)?;
    // They may come with the ticket instead, and are judged when it is redeemed in any case.
    let known = Some(&*shared).filter(|shared| !shared.is_empty());
    let wanted = Requested { path: target.path.decoded(), captures, shared: known };
    let grant = by_token(authorizer, route, wanted, target, head)
        .await
        .inspect_err(|denied| route.metrics.auth_failure(denied.label()))?;
    let now = SystemTime::now();
    let ttl = authorizer.settings().ticket_ttl.min(grant.expires_at().duration_since(now).unwrap_or_default());
    let ticket = app.tickets.issue(grant, route.metrics.name(), target.path.decoded(), ttl, now)?;
    // Relative to the origin: behind a proxy only the client knows by which name it came.
    let mut url = format!("{}?", target.path.encoded());
    for (name, value) in &shared {
        url.extend(percent::query(name).chain(["="]).chain(percent::query(value)).chain(["&"]));
    }
    url.extend([TICKET, "=", ticket.reveal()]);
    let answer = serde_json::json!({ "url": url, "expires_in": ttl.as_secs() });
    let mut response = Response::new(Bytes::from(answer.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

async fn by_token(
    authorizer: &Authorizer,
    route: &Route,
    wanted: Requested<'_>,
    target: &RequestTarget,
    head: &Parts,
) -> Result<Grant, Denied> {
    let is_tls = peer(head).is_tls;
    let is_trusted_origin: &(dyn Fn(&str) -> bool + Sync) = &|origin: &str| {
        target.is_own_origin(origin, is_tls)
            || route.settings.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|allowed| allowed == origin))
    };
    let presented = Credentials { headers: &head.headers, query: head.uri.query(), is_trusted_origin };
    authorizer.authorize(presented, wanted, SystemTime::now()).await
}

fn by_ticket(
    app: &App,
    authorizer: &Authorizer,
    route: &Route,
    wanted: Requested<'_>,
    target: &RequestTarget,
    head: &Parts,
    ticket: &str,
) -> Result<Grant, Denied> {
    let presented = Credentials { headers: &head.headers, query: head.uri.query(), is_trusted_origin: &|_| false };
    if authorizer.is_token_presented(presented) {
        return Err(Denied::Ambiguous);
    }
    let grant = app
        .tickets
        .redeem(ticket, route.metrics.name(), target.path.decoded(), &app.authority, SystemTime::now())
        .ok_or(TokenFault::Ticket)?;
    // The configuration may have been reloaded since the ticket was made.
    authorizer.recheck(&grant, wanted, SystemTime::now())?;
    Ok(grant)
}
