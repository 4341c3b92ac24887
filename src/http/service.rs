//! The service: from a request to a response, or to a rejection.
//!
//! In this order: limits on the head, host and path, route, method, `Accept`, token, subscription.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri, Version};

use super::app::App;
use super::post::PostRequest;
use super::request::client_info::ClientInfo;
use super::request::head::{accepts_event_stream, announces_body, is_event_stream_request};
use super::request::query::Query;
use super::request::target::RequestTarget;
use super::request::trace::{REQUEST_ID, Trace};
use super::request::{auth, cors, redact};
use super::response::body::AppBody;
use super::response::rejection::{Rejection, SoftRetry};
use super::routed_request::RoutedRequest;
use super::{forward, post, subscribe};
use crate::listen::{self, IncomingRequest, RequestBody};
use crate::route::path::PathFault;
use crate::route::pattern::{Captures, Mismatch};
use crate::route::{Route, Routes};
use crate::runtime::jitter;

/// The methods of a route.
const METHODS: &str = "GET, HEAD";

/// The methods of a route that issues tickets.
const METHODS_WITH_TICKETS: &str = "GET, HEAD, POST";

/// Returns the service that listeners pass their requests to.
pub(crate) fn service(app: Arc<App>) -> impl listen::Service<AppBody> {
    move |request: IncomingRequest| -> BoxFuture<'static, Response<AppBody>> {
        let query = Query::parse(request.head.uri.query().unwrap_or_default());
        if let Some(handoff) = &request.handoff {
            handoff.set_reading_paused(query.is_finite());
        }
        let app = app.clone();
        let line = RequestLine { method: request.head.method.clone(), uri: request.head.uri.clone() };
        let panics = app.tasks.panics().clone();
        Box::pin(panics.watched("request", line, Box::pin(handle(app, request, query))))
    }
}

/// The request as the log shows it. Formatted only if handling it panics.
struct RequestLine {
    method: Method,
    uri: Uri,
}

impl fmt::Display for RequestLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, redact::path(self.uri.path()))
    }
}

async fn handle(app: Arc<App>, mut request: IncomingRequest, query: Query) -> Response<AppBody> {
    let since = Instant::now();
    let mut body = request.body.take();
    let head = &request.head;
    let trace = Trace::from_head(head, &request.peer);
    // One snapshot serves the whole request.
    let routes = app.routes.load_full();
    let token_bytes = app.limits.load().token_bytes;
    let target =
        RequestTarget::new(head, query, token_bytes).and_then(|target| check_limits(&app, &request).map(|()| target));
    let found = target.as_ref().ok().map(|target| find(&routes, target));
    let route = found.as_ref().and_then(|found| found.as_ref().ok()).map(|(route, _)| *route);
    let metrics = route.map_or(&app.unrouted, |route| &route.metrics);

    let outcome = match (&target, &found) {
        (Err(rejection), _) => Err(rejection.clone()),
        (Ok(target), Some(Ok((route, _)))) if target.has_encoded_slash && !accepts_encoded_slash(route) => {
            Err(Rejection::Path(PathFault::Delimiter('/')))
        }
        (Ok(target), Some(Err(_))) if target.has_encoded_slash => Err(Rejection::Path(PathFault::Delimiter('/'))),
        (Ok(target), Some(Ok((route, captures)))) => {
            let routed = RoutedRequest { app: &app, route, captures, target, request: &request, trace: &trace };
            handle_on_route(routed, &mut body).await
        }
        (Ok(target), Some(Err(mismatch))) => static_page(&app, head, target).ok_or_else(|| mismatch.clone().into()),
        (Ok(_), None) => unreachable!("a route was looked up for each valid target"),
    };
    let reason = outcome.as_ref().err().map(Rejection::reason);
    let mut response = outcome.unwrap_or_else(|rejection| {
        metrics.rejected(rejection.reason());
        let soft = route.filter(|route| route.settings.soft_refusal && is_event_stream_request(head));
        let soft = soft.map(|route| SoftRetry { min: route.settings.delivery.retry, jitter: jitter::unit() });
        rejection.response(soft).map(AppBody::full)
    });
    if let Some(route) = route
        && !cors::is_preflight(head)
    {
        let is_readable = cors::add_headers(route.settings.cors.as_ref(), head, response.headers_mut());
        if is_readable && route.settings.post.is_some() {
            let location = HeaderValue::from_static("content-location");
            response.headers_mut().append(ACCESS_CONTROL_EXPOSE_HEADERS, location);
        }
    }
    // A body that nobody takes is never read. An intermediary could take the bytes behind the head for another request
    // (RFC 9112, 6.1 and 11.2), so the connection ends. The same holds after a malformed request, since two parsers may
    // disagree where it ended.
    let is_malformed = reason.is_some() && response.status() == StatusCode::BAD_REQUEST;
    let ends_connection = app.tasks.draining().has_started()
        || head.method == Method::CONNECT
        || (body.is_some() && announces_body(head))
        || is_malformed;
    // These take the connection over, and a response that may be cut must not say that it is the last one.
    let takes_over =
        response.status() == StatusCode::SWITCHING_PROTOCOLS || matches!(response.body(), AppBody::Prelude(_));
    if ends_connection && head.version < Version::HTTP_2 && !takes_over {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.headers_mut().insert(REQUEST_ID, trace.request_id().clone());
    let status = response.status().as_u16();
    metrics.request(status);
    if route.is_some_and(|route| route.forwarder.is_some()) {
        metrics.forward().answered(status);
    }
    // The access line of a subscription is written when it ends. Refusals cost a client little, so not all have one.
    let is_line_due = !matches!(response.body(), AppBody::Prelude(_) | AppBody::Events(_));
    if is_line_due && (reason.is_none() || metrics.acquire_refusal_line()) {
        ClientInfo::new(&app, &request, &trace, None).log_access(
            metrics.name(),
            &redact::path(head.uri.path()),
            status,
            reason,
            since,
        );
    }
    response
}

/// Finds the route of a target. A route that forwards does not get a path that may be one of a route with other rules.
fn find<'r>(routes: &'r Routes, target: &RequestTarget) -> Result<(&'r Arc<Route>, Captures), Mismatch> {
    let (route, captures) = routes.find(target.host(), target.path.decoded())?;
    match route.forwarder.is_some() && routes.is_evasion(route, target.host(), target.path.decoded()) {
        true => Err(Mismatch::Other),
        false => Ok((route, captures)),
    }
}

fn accepts_encoded_slash(route: &Route) -> bool {
    route.settings.forward.as_ref().is_some_and(|forward| forward.encoded_slash)
}

/// Checks the limits that hold for every request, whatever its target is.
fn check_limits(app: &App, request: &IncomingRequest) -> Result<(), Rejection> {
    let max = app.limits.load().headers;
    if request.head.headers.len() > max {
        return Err(Rejection::TooManyHeaders { max });
    }
    if request.peer.is_over_ip_limit {
        return Err(Rejection::TooManyConnections);
    }
    Ok(())
}

async fn handle_on_route(
    routed: RoutedRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let RoutedRequest { app, route, captures, target, request, .. } = routed;
    let head = &request.head;
    if route.forwarder.is_some() {
        if route.settings.cors.is_some() && cors::is_preflight(head) {
            return Ok(cors::preflight(&route.settings, head, forward::METHODS).map(AppBody::full));
        }
        return forward::respond(routed, body).await;
    }
    let ticket_authorizer = auth::ticket_authorizer(route);
    let opened_by_post = route.settings.post.as_deref();
    let methods = match ticket_authorizer {
        _ if opened_by_post.is_some() => post::METHODS,
        Some(_) => METHODS_WITH_TICKETS,
        None => METHODS,
    };
    if cors::is_preflight(head) {
        return Ok(cors::preflight(&route.settings, head, methods).map(AppBody::full));
    }
    let is_ticket = opened_by_post.is_none() || auth::names_ticket(target);
    if let Some(settings) = opened_by_post
        && !(head.method == Method::POST && is_ticket)
        && (head.method == Method::POST || head.method == Method::DELETE || post::is_stream_url(&target.query))
    {
        let post = PostRequest { routed, settings };
        return match head.method {
            Method::POST => post::respond(post, body).await,
            Method::DELETE => post::stop(post).await,
            Method::GET | Method::HEAD => post::read(post).await,
            _ => Err(Rejection::Method { allow: methods }),
        };
    }
    if let Some(authorizer) = ticket_authorizer.filter(|_| head.method == Method::POST) {
        if app.tasks.draining().has_started() {
            return Err(Rejection::Draining);
        }
        let ticket = auth::issue_ticket(app, authorizer, route, captures, target, request).await;
        return ticket.map(|response| response.map(AppBody::full));
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Rejection::Method { allow: methods });
    }
    if opened_by_post.is_none() && !accepts_event_stream(head) {
        return Err(Rejection::NotAcceptable);
    }
    let grant = auth::authorize(app, route, captures, target, request).await?;
    // With a successor on the same address, the client is admitted and told to leave like all others: an `EventSource`
    // reconnects after the end of a stream, but not after a 503.
    if app.tasks.draining().has_started() && !request.peer.has_successor {
        return Err(Rejection::Draining);
    }
    if head.method == Method::HEAD {
        return Ok(subscribe::respond_to_head(route, head));
    }
    subscribe::respond(routed, grant).await
}

/// Returns the static page at the target, for GET and HEAD.
fn static_page(app: &App, head: &Parts, target: &RequestTarget) -> Option<Response<AppBody>> {
    let pages = app.pages.load();
    let page = pages.iter().find(|page| page.path == target.path.decoded())?;
    let is_head = head.method == Method::HEAD;
    if head.method != Method::GET && !is_head {
        return None;
    }
    let body = if is_head { AppBody::empty() } else { AppBody::full(page.body.clone()) };
    let mut response = Response::new(body);
    for (name, value) in &page.headers {
        response.headers_mut().append(name, value.clone());
    }
    Some(response)
}
