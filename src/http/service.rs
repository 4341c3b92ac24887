//! From request to response, in reading order: where to, who, then act; or reject.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::app::App;
use super::request::client_info::ClientInfo;
use super::request::head::{accepts_event_stream, announces_body, is_event_stream_request, peer};
use super::request::query::Query;
use super::request::target::RequestTarget;
use super::request::trace::{REQUEST_ID, Trace};
use super::request::{auth, cors, redact};
use super::response::body::AppBody;
use super::response::rejection::{Rejection, SoftRetry};
use super::subscribe;
use crate::listen::{self, Handoff, RequestBodyInfo};
use crate::route::Route;
use crate::runtime::jitter;

/// What a stream answers.
const METHODS: &str = "GET, HEAD";

/// What a stream answers whose route makes tickets.
const METHODS_WITH_TICKETS: &str = "GET, HEAD, POST";

/// The service that listeners hand their requests to.
pub fn service(app: Arc<App>) -> impl listen::Service<AppBody> {
    move |request| -> BoxFuture<'static, Response<AppBody>> {
        if let Some(connection) = request.extensions().get::<Handoff>() {
            connection.set_reading_paused(Query::parse(request.uri().query().unwrap_or_default()).is_finite());
        }
        let app = app.clone();
        let doing = Doing { method: request.method().clone(), uri: request.uri().clone() };
        let panics = app.tasks.panics().clone();
        Box::pin(panics.watched("request", doing, Box::pin(answer(app, request))))
    }
}

/// A request in the words of the log, which are needed only if answering it panics.
struct Doing {
    method: Method,
    uri: Uri,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, redact::path(self.uri.path()))
    }
}

async fn answer(app: Arc<App>, request: Request<RequestBodyInfo>) -> Response<AppBody> {
    let since = Instant::now();
    let (mut head, body) = request.into_parts();
    let trace = Trace::of(&head);
    let request_id = trace.request_id().clone();
    head.extensions.insert(trace);
    // One snapshot for the whole request.
    let routes = app.routes.load_full();
    let token_bytes = app.limits.load().token_bytes;
    let target = RequestTarget::of(&head, token_bytes).and_then(|target| admit(&app, &head).map(|()| target));
    let found = target.as_ref().ok().map(|target| routes.find(target.host(), target.path.decoded()));
    let route = found.as_ref().and_then(|found| found.as_ref().ok()).map(|(route, _)| *route);
    let metrics = route.map_or(&app.unrouted, |route| &route.metrics);

    let outcome = match (&target, &found) {
        (Err(rejection), _) => Err(rejection.clone()),
        (Ok(target), Some(Ok((route, captures)))) => stream(&app, route, captures, target, &head, body).await,
        (Ok(target), Some(Err(mismatch))) => page(&app, &head, target).ok_or_else(|| mismatch.clone().into()),
        (Ok(_), None) => unreachable!("a target has been looked for"),
    };
    let refused = outcome.as_ref().err().map(Rejection::reason);
    let mut response = outcome.unwrap_or_else(|rejection| {
        metrics.rejected(rejection.reason());
        let soft = route.filter(|route| route.settings.soft_refusal && is_event_stream_request(&head));
        rejection
            .response(soft.map(|route| SoftRetry { min: route.settings.delivery.retry, jitter: jitter::share() }))
            .map(AppBody::whole)
    });
    if let Some(route) = route
        && !cors::is_preflight(&head)
    {
        cors::permit(route.settings.cors.as_ref(), &head, response.headers_mut());
    }
    // A body is never read: what stands behind it could be taken for another request by someone in between
    // (RFC 9112, 6.1 and 11.2), so nothing is.
    // Nor behind a request that was malformed: where it ended may be a matter of opinion.
    let ends_connection =
        app.tasks.draining().has_begun() || announces_body(&head) || response.status() == StatusCode::BAD_REQUEST;
    if ends_connection && head.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.headers_mut().insert(REQUEST_ID, request_id);
    let status = response.status().as_u16();
    metrics.request(status);
    // A subscription's line is written when it ends.
    if !matches!(response.body(), AppBody::Opening(_) | AppBody::Events(_)) {
        ClientInfo::of(&app, &head, None).answered(
            metrics.name(),
            &redact::path(head.uri.path()),
            status,
            refused,
            since,
        );
    }
    response
}

/// What is refused whatever it is about.
fn admit(app: &App, head: &Parts) -> Result<(), Rejection> {
    let max = app.limits.load().headers;
    if head.headers.len() > max {
        return Err(Rejection::TooManyHeaders { max });
    }
    if peer(head).is_over_ip_limit {
        return Err(Rejection::TooManyConnections);
    }
    Ok(())
}

/// A request on a route.
async fn stream(
    app: &Arc<App>,
    route: &Arc<Route>,
    captures: &[(String, String)],
    target: &RequestTarget,
    head: &Parts,
    body: RequestBodyInfo,
) -> Result<Response<AppBody>, Rejection> {
    let ticket_office = auth::ticket_office(route);
    let methods = if ticket_office.is_some() { METHODS_WITH_TICKETS } else { METHODS };
    if cors::is_preflight(head) {
        return Ok(cors::preflight(&route.settings, head, methods).map(AppBody::whole));
    }
    if let Some(authorizer) = ticket_office.filter(|_| head.method == Method::POST) {
        if app.tasks.draining().has_begun() {
            return Err(Rejection::Draining);
        }
        let ticket = auth::issue_ticket(app, authorizer, route, captures, target, head).await;
        return ticket.map(|response| response.map(AppBody::whole));
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Rejection::Method { allow: methods });
    }
    if !accepts_event_stream(head) {
        return Err(Rejection::NotAcceptable);
    }
    let grant = auth::admit(app, route, captures, target, head).await?;
    // Where another process takes over, the client is let in and asked to leave like all others: an event source comes
    // back from the end of a stream, but not from a 503.
    if app.tasks.draining().has_begun() && !peer(head).has_successor {
        return Err(Rejection::Draining);
    }
    if head.method == Method::HEAD {
        return Ok(subscribe::head_alone(route));
    }
    subscribe::respond(app, route, captures, target, head, body, grant).await
}

fn page(app: &App, head: &Parts, target: &RequestTarget) -> Option<Response<AppBody>> {
    let pages = app.pages.load();
    let page = pages.iter().find(|page| page.path == target.path.decoded())?;
    let is_head = head.method == Method::HEAD;
    if head.method != Method::GET && !is_head {
        return None;
    }
    let body = if is_head { AppBody::empty() } else { AppBody::whole(page.body.clone()) };
    let mut response = Response::new(body);
    for (name, value) in &page.headers {
        response.headers_mut().append(name, value.clone());
    }
    Some(response)
}
