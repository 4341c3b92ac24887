//! From request to response, in reading order: where to, who, then act; or reject.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use tracing::{debug, info};

use super::body::ResponseBody;
use super::gate::{Gate, random_share};
use super::rejection::Rejection;
use super::target::Target;
use super::{cors, subscribe};
use crate::auth::{Authorizer, Denied, Grant, Presented, Wanted};
use crate::listen::{self, Peer};
use crate::route::Route;
use crate::telemetry::Protocol;

/// What a stream answers.
const METHODS: &str = "GET, HEAD";

/// The service that listeners hand their requests to.
pub fn service(gate: Arc<Gate>) -> impl listen::Service<ResponseBody> {
    move |request| -> BoxFuture<'static, Response<ResponseBody>> { Box::pin(answer(gate.clone(), request)) }
}

async fn answer(gate: Arc<Gate>, request: Request<Incoming>) -> Response<ResponseBody> {
    let (head, body) = request.into_parts();
    // One snapshot for the whole request.
    let routes = gate.routes.load_full();
    let target = Target::of(&head).and_then(|target| admit(&gate, &head).map(|()| target));
    let found = target.as_ref().ok().and_then(|target| routes.find(target.host(), &target.path));
    let route = found.as_ref().map(|(route, _)| *route);
    let metrics = route.map_or(&gate.unrouted, |route| &route.metrics);

    let outcome = match (&target, &found) {
        (Err(rejection), _) => Err(rejection.clone()),
        (Ok(target), None) => page(&gate, &head, target).ok_or(Rejection::NoRoute),
        (Ok(target), Some((route, captures))) => stream(&gate, route, captures, target, &head, &body).await,
    };
    let mut response = outcome.unwrap_or_else(|rejection| {
        metrics.rejected(rejection.reason());
        debug!(route = metrics.name(), reason = rejection.reason(), status = rejection.status().as_u16(), "refused");
        let soft_retry = route.filter(|route| route.settings.soft_refusal && is_event_stream_request(&head));
        rejection.response(soft_retry.map(|route| route.settings.delivery.retry.mul_f64(1.0 + random_share())))
    });
    if let Some(route) = route
        && !cors::is_preflight(&head)
    {
        cors::permit(route.settings.cors.as_ref(), &head, response.headers_mut());
    }
    // A body is never read: what stands behind it could be taken for another request by someone in between
    // (RFC 9112, 6.1 and 11.2), so nothing is.
    let ends_connection = gate.tasks.draining().has_begun() || announces_body(&head);
    if ends_connection && head.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if head.version == Version::HTTP_2 && matches!(response.body(), ResponseBody::Whole(Some(_))) {
        // A client without a window could keep it for ever; a stream of events has a guard of its own.
        listen::watch(tokio::time::sleep(gate.limits.stall_timeout));
    }
    metrics.request(response.status().as_u16());
    response
}

/// Whether the client said that a body follows (RFC 9112, 6).
fn announces_body(head: &Parts) -> bool {
    head.headers.contains_key(TRANSFER_ENCODING) || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// What is refused whatever it is about.
fn admit(gate: &Gate, head: &Parts) -> Result<(), Rejection> {
    if head.headers.len() > gate.limits.headers {
        return Err(Rejection::TooManyHeaders);
    }
    if peer(head).is_over_ip_limit {
        return Err(Rejection::TooManyConnections);
    }
    Ok(())
}

/// A request on a route.
async fn stream(
    gate: &Arc<Gate>,
    route: &Arc<Route>,
    captures: &[(String, String)],
    target: &Target,
    head: &Parts,
    body: &Incoming,
) -> Result<Response<ResponseBody>, Rejection> {
    if cors::is_preflight(head) {
        return Ok(cors::preflight(route.settings.cors.as_ref(), head, METHODS));
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Rejection::Method { allow: METHODS });
    }
    if !accepts_event_stream(head) {
        return Err(Rejection::NotAcceptable);
    }
    let grant = match &route.authorizer {
        None => None,
        Some(authorizer) => authorize(authorizer, route, captures, target, head).await?,
    };
    if gate.tasks.draining().has_begun() {
        return Err(Rejection::Draining);
    }
    if head.method == Method::HEAD {
        return Ok(subscribe::head_alone());
    }
    subscribe::respond(gate, route, captures, target, head, body, grant).await
}

async fn authorize(
    authorizer: &Authorizer,
    route: &Route,
    captures: &[(String, String)],
    target: &Target,
    head: &Parts,
) -> Result<Option<Grant>, Denied> {
    let is_tls = peer(head).is_tls;
    let is_trusted_origin: &(dyn Fn(&str) -> bool + Sync) = &|origin: &str| {
        target.is_own_origin(origin, is_tls)
            || route.settings.cors.as_ref().is_some_and(|cors| cors.origins.iter().any(|allowed| allowed == origin))
    };
    let presented = Presented { headers: &head.headers, query: head.uri.query(), is_trusted_origin };
    let wanted = Wanted { path: &target.path, captures };
    match authorizer.authorize(presented, wanted, SystemTime::now()).await {
        Ok(grant) => Ok(Some(grant)),
        Err(denied) => {
            route.metrics.auth_failure(denied.label());
            if authorizer.settings().enforce {
                return Err(denied);
            }
            info!(route = route.metrics.name(), reason = denied.label(), "would be refused (auth.enforce = false)");
            Ok(None)
        }
    }
}

fn page(gate: &Gate, head: &Parts, target: &Target) -> Option<Response<ResponseBody>> {
    let pages = gate.pages.load();
    let page = pages.iter().find(|page| page.path == target.path)?;
    let is_head = head.method == Method::HEAD;
    if head.method != Method::GET && !is_head {
        return None;
    }
    let body = if is_head { ResponseBody::empty() } else { ResponseBody::whole(page.body.clone()) };
    let mut response = Response::new(body);
    for (name, value) in &page.headers {
        response.headers_mut().append(name, value.clone());
    }
    Some(response)
}

/// What is known about the connection that brought the request.
pub(super) fn peer(head: &Parts) -> &Peer {
    head.extensions.get().expect("listeners say who the peer is")
}

/// RFC 9110, 12.5.1: no `Accept` accepts everything.
fn accepts_event_stream(head: &Parts) -> bool {
    let mut fields = head.headers.get_all(ACCEPT).iter().peekable();
    fields.peek().is_none()
        || fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')).any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let is_ours = ["*/*", "text/*", "text/event-stream"].iter().any(|ours| name.eq_ignore_ascii_case(ours));
            let is_excluded = parts
                .filter_map(|part| part.split_once('='))
                .any(|(key, value)| key.eq_ignore_ascii_case("q") && value.parse::<f32>().is_ok_and(|q| q <= 0.0));
            is_ours && !is_excluded
        })
}

/// Whether an event source asks, which any status but 200 would stop for good.
fn is_event_stream_request(head: &Parts) -> bool {
    head.headers
        .get_all(ACCEPT)
        .iter()
        .any(|field| field.to_str().is_ok_and(|field| field.to_ascii_lowercase().contains("text/event-stream")))
}

/// How the client speaks.
pub(super) fn protocol(head: &Parts) -> Protocol {
    peer(head).protocol
}
