//! The authorization of a request: by a token, or by a one-time ticket in its place. Also issues tickets.
//!
//! A request with a token and a ticket is refused, since another reader of the request could use the other one. The
//! decision itself is the authorizer's. A ticket is never logged: it is a credential until it is redeemed.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};
use tracing::info;

use super::cors;
use super::shared_values::query_parameters;
use super::target::RequestTarget;
use crate::auth::{
    Authorizer, Credentials, Denied, Grant, Requested, TicketsUnavailable, TokenFault, TokenSource, is_cross_site,
};
use crate::http::app::App;
use crate::http::post::STREAM_PARAMETER;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::listen::IncomingRequest;
use crate::route::{Route, percent};

/// The query parameter that asks for a ticket (`POST`) or holds one (`GET`). Routes cannot share it, so the upstream never
/// receives it.
const TICKET: &str = "ticket";

/// Returns the authorizer if the route issues tickets.
pub(crate) fn ticket_authorizer(route: &Route) -> Option<&Authorizer> {
    route.authorizer.as_ref().filter(|authorizer| authorizer.settings().tickets)
}

/// Authorizes a request to read the stream. Returns `None` without a grant: the route is public, or does not enforce its
/// rules. A ticket is redeemed by the first request that has it, `HEAD` included.
///
/// # Errors
/// The refusal, if the route enforces its rules.
pub(crate) async fn authorize(
    app: &App,
    route: &Route,
    captures: &[(String, String)],
    target: &RequestTarget,
    request: &IncomingRequest,
) -> Result<Option<Grant>, Rejection> {
    let Some(authorizer) = &route.authorizer else { return Ok(None) };
    let shared = query_parameters(&route.settings.share, &target.query)?;
    let requested = Requested { path: target.path.decoded(), captures, shared: Some(&shared) };
    let ticket = if authorizer.settings().tickets { target.query.single(TICKET)? } else { None };
    let decision = match ticket {
        None => authorize_token(authorizer, route, requested, target, request).await,
        Some(ticket) => redeem_ticket(app, authorizer, route, requested, target, request, &ticket).await,
    };
    match decision {
        Ok(grant) => Ok(Some(grant)),
        Err(denied) => {
            route.metrics.auth_failure(denied.label());
            if authorizer.settings().enforce {
                return Err(denied.into());
            }
            if route.metrics.acquire_refusal_line() {
                info!(route = route.metrics.name(), reason = denied.label(), "would be refused (auth.enforce = false)");
            }
            Ok(None)
        }
    }
}

/// Responds to `POST PATH?ticket` with a URL that is valid once, for this path, in place of the request's token.
///
/// # Errors
/// The refusal. A route that does not enforce its rules refuses here too: a ticket stands for a valid token.
pub(crate) async fn issue_ticket(
    app: &App,
    authorizer: &Authorizer,
    route: &Route,
    captures: &[(String, String)],
    target: &RequestTarget,
    request: &IncomingRequest,
) -> Result<Response<Bytes>, Rejection> {
    match target.query.single(TICKET)?.as_deref() {
        Some("") => {}
        Some(_) => {
            return Err(Rejection::malformed(
                "Invalid query parameter \"ticket\": it must be empty to ask for a new ticket (POST PATH?ticket).",
            ));
        }
        None => {
            return Err(Rejection::malformed(
                "Missing query parameter \"ticket\": POST only issues tickets (POST PATH?ticket).",
            ));
        }
    }
    let shared = query_parameters(&route.settings.share, &target.query)?;
    // The shared parameters may also come with the ticket. They are checked when it is redeemed in any case.
    let known = Some(&*shared).filter(|shared| !shared.is_empty());
    let requested = Requested { path: target.path.decoded(), captures, shared: known };
    let grant = authorize_token(authorizer, route, requested, target, request)
        .await
        .inspect_err(|denied| route.metrics.auth_failure(denied.label()))?;
    let now = SystemTime::now();
    let ttl = authorizer.settings().ticket_ttl.min(grant.expires_at().duration_since(now).unwrap_or_default());
    let ticket = app.tickets.issue(grant, route.metrics.name(), target.path.decoded(), ttl, now).await?;
    let mut query = String::new();
    for (name, value) in &shared {
        percent::push_parameter(&mut query, name, value);
    }
    if let Some(name) = target.query.single(STREAM_PARAMETER)? {
        percent::push_parameter(&mut query, STREAM_PARAMETER, &name);
    }
    percent::push_parameter(&mut query, TICKET, ticket.reveal());
    // The URL is relative to the origin: behind a proxy only the client knows the name that it used.
    let url = format!("{}?{query}", target.path.encoded());
    let answer = serde_json::json!({ "url": url, "expires_in": ttl.as_secs() });
    let mut response = Response::new(Bytes::from(answer.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Returns true if the request asks for a ticket, or has one.
pub(crate) fn names_ticket(target: &RequestTarget) -> bool {
    !matches!(target.query.single(TICKET), Ok(None))
}

/// Checks that no page of a foreign origin made a browser send a request that changes something. Needed where the request
/// is not bound to a credential that only its own page can send.
///
/// # Errors
/// The refusal.
pub(crate) fn check_origin(
    route: &Route,
    target: &RequestTarget,
    request: &IncomingRequest,
    grant: Option<&Grant>,
) -> Result<(), Rejection> {
    let IncomingRequest { head, peer, .. } = request;
    if grant.map(Grant::source).is_some_and(|source| !TokenSource::is_ambient(source)) {
        return Ok(());
    }
    let is_trusted_origin: &(dyn Fn(&str) -> bool + Sync) = &|origin: &str| {
        target.is_own_origin(origin, peer.is_tls)
            || route.settings.cors.as_ref().is_some_and(|cors| cors::is_allowed(cors, origin))
    };
    match is_cross_site(Credentials { headers: &head.headers, query: head.uri.query(), is_trusted_origin }) {
        true => Err(Rejection::Post(PostRefusal::CrossSite)),
        false => Ok(()),
    }
}

async fn authorize_token(
    authorizer: &Authorizer,
    route: &Route,
    requested: Requested<'_>,
    target: &RequestTarget,
    request: &IncomingRequest,
) -> Result<Grant, Denied> {
    let IncomingRequest { head, peer, .. } = request;
    let is_trusted_origin: &(dyn Fn(&str) -> bool + Sync) = &|origin: &str| {
        target.is_own_origin(origin, peer.is_tls)
            || route.settings.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|allowed| allowed == origin))
    };
    let credentials = Credentials { headers: &head.headers, query: head.uri.query(), is_trusted_origin };
    authorizer.authorize(credentials, requested, SystemTime::now()).await
}

async fn redeem_ticket(
    app: &App,
    authorizer: &Authorizer,
    route: &Route,
    requested: Requested<'_>,
    target: &RequestTarget,
    request: &IncomingRequest,
    ticket: &str,
) -> Result<Grant, Denied> {
    let head = &request.head;
    let credentials = Credentials { headers: &head.headers, query: head.uri.query(), is_trusted_origin: &|_| false };
    if authorizer.is_token_presented(credentials) {
        return Err(Denied::Ambiguous);
    }
    let grant = app
        .tickets
        .redeem(ticket, route.metrics.name(), target.path.decoded(), &app.trust, SystemTime::now())
        .await
        .map_err(|TicketsUnavailable| Denied::TicketsUnavailable)?
        .ok_or(TokenFault::Ticket)?;
    // The configuration may have been reloaded since the ticket was issued.
    authorizer.recheck(&grant, requested, SystemTime::now())?;
    Ok(grant)
}
