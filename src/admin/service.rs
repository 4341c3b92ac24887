//! Requests of the admin port to responses.
//!
//! A request's body is read only where one is expected, up to a size and a time. Whatever takes long (rendering,
//! walking the streams) runs off the runtime's workers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::ORIGIN;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, LengthLimitError, Limited, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::health::Readiness;
use super::reply::{Body, json, problem, reply, stream as streaming, wrong_method};
use super::snapshot::Snapshots;
use super::{Introspect, Revocations, page};
use crate::telemetry::Metrics;

/// What all connections of the admin port share.
pub(super) struct Service {
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) introspect: Arc<dyn Introspect>,
    pub(super) revocations: Option<Arc<dyn Revocations>>,
    pub(super) snapshots: Arc<Snapshots>,
    /// Viewers of the status page; the rest of the connections stays for probes and scrapes.
    pub(super) viewers: Arc<Semaphore>,
}

impl Service {
    /// Answers one request. `leave` ends the event stream of the status page.
    pub(super) async fn respond<B>(&self, request: Request<B>, leave: CancellationToken) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path();
        if path == "/revocations" && self.revocations.is_some() {
            return match *request.method() {
                Method::POST => self.revoke(request).await,
                _ => wrong_method("POST"),
            };
        }
        let known =
            matches!(path, "/livez" | "/readyz" | "/metrics" | "/streams" | "/events") || page::file(path).is_some();
        if !known {
            return problem(StatusCode::NOT_FOUND, "there is nothing here");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return wrong_method("GET, HEAD");
        }
        match path {
            "/livez" => reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics().await,
            "/streams" => self.streams().await,
            "/events" => self.events(request.method(), leave),
            _ => match page::file(path) {
                Some(file) => reply(StatusCode::OK, file.content_type, file.bytes),
                None => problem(StatusCode::NOT_FOUND, "there is nothing here"),
            },
        }
    }

    fn ready(&self) -> Response<Body> {
        let report = self.readiness.report();
        let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &report)
    }

    async fn metrics(&self) -> Response<Body> {
        let metrics = self.metrics.clone();
        match spawn_blocking(move || metrics.render()).await {
            Ok(text) => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(_) => failed(),
        }
    }

    async fn streams(&self) -> Response<Body> {
        let introspect = self.introspect.clone();
        let made = spawn_blocking(move || json(StatusCode::OK, &introspect.streams())).await;
        made.unwrap_or_else(|_| failed())
    }

    fn events(&self, method: &Method, leave: CancellationToken) -> Response<Body> {
        let Ok(permit) = self.viewers.clone().try_acquire_owned() else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "too many status pages are open");
        };
        let body = match *method {
            Method::HEAD => Body::default(),
            _ => viewer(self.snapshots.clone(), permit, leave),
        };
        streaming(StatusCode::OK, "text/event-stream", body)
    }

    async fn revoke<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Browsers say where a POST comes from, and no page of anybody's has business here: without this, any page
        // that an operator visits could post to a port on the loopback address.
        if request.headers().contains_key(ORIGIN) {
            return problem(StatusCode::FORBIDDEN, "revocations are not taken from web pages");
        }
        let Some(revocations) = self.revocations.clone() else {
            return problem(StatusCode::NOT_FOUND, "there is nothing here");
        };
        let body = match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), BODY_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return problem(StatusCode::PAYLOAD_TOO_LARGE, "at most 64 KiB are taken at once");
            }
            Ok(Err(_)) => return problem(StatusCode::BAD_REQUEST, "the body broke off"),
            Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        };
        let answer = spawn_blocking(move || revocations.revoke(body)).await;
        answer.map_or_else(|_| failed(), |(status, value)| json(status, &value))
    }
}

/// One snapshot per second until the client or `leave` ends it.
fn viewer(snapshots: Arc<Snapshots>, permit: OwnedSemaphorePermit, leave: CancellationToken) -> Body {
    let mut seconds = interval(PERIOD);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (snapshots, seconds, leave, permit);
    StreamBody::new(stream::unfold(state, async |(snapshots, mut seconds, leave, permit)| {
        let event = next(&snapshots, &mut seconds, &leave).await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), (snapshots, seconds, leave, permit)))
    }))
    .boxed_unsync()
}

async fn next(snapshots: &Arc<Snapshots>, seconds: &mut Interval, leave: &CancellationToken) -> Option<Bytes> {
    leave.run_until_cancelled(seconds.tick()).await?;
    let snapshots = snapshots.clone();
    spawn_blocking(move || snapshots.event()).await.ok()
}

/// A callback panicked: a defect of ours, which the connection survives.
fn failed() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made")
}

const PERIOD: Duration = Duration::from_secs(1);
const BODY_BYTES: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
