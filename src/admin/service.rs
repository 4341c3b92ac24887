//! Routing of the admin port's requests to responses.
//!
//! Reads a request's body only where one is expected, bounded in size and time. Slow work (rendering, walking the
//! streams) runs off the runtime's workers.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use percent_encoding::percent_decode_str;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::blocking::{blocking, internal_error};
use super::body::read_body;
use super::context::AdminContext;
use super::health::Readiness;
use super::reply::{Body, JSON, json, problem, reply, stream as streaming, wrong_method};
use super::selection::Selection;
use super::shared_render::SharedRender;
use super::snapshot::Snapshots;
use super::stream_query::{MAX_LIMIT, StreamQuery};
use super::{cross_site, history, page, revocations, stream_views, tap};
use crate::runtime::panics::Panics;
use crate::stream::Tap;
use crate::telemetry::logging::FilterHandle;

/// The state that all connections of the admin port share.
pub(super) struct AdminService {
    context: Arc<AdminContext>,
    snapshots: Arc<Snapshots>,
    metrics: SharedRender,
    streams: SharedRender,
    /// Permits of answers of `/streams` with parameters, held until the client has taken them.
    selections: Arc<Semaphore>,
    /// Permits of status pages and taps. The other connections stay free for probes and scrapers.
    viewers: Arc<Semaphore>,
}

impl AdminService {
    /// Admits at most `viewers` status pages and taps at a time.
    pub(super) fn new(context: AdminContext, viewers: usize) -> Self {
        let context = Arc::new(context);
        let snapshots = Arc::new(Snapshots::new(context.clone()));
        let (metrics, streams) = Default::default();
        let selections = Arc::new(Semaphore::new(MAX_SELECTIONS));
        Self { context, snapshots, metrics, streams, selections, viewers: Arc::new(Semaphore::new(viewers)) }
    }

    /// Records the totals of the routes periodically, for those who open the status page later. Does not end.
    pub(super) async fn record_totals(&self) {
        let mut periods = interval(history::PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            periods.tick().await;
            self.snapshots.record_totals();
        }
    }

    /// Answers one request. `shutdown` ends event streams.
    pub(super) async fn respond<B>(&self, request: Request<B>, shutdown: CancellationToken) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let context = &self.context;
        let checked = cross_site::check(request.method(), request.uri(), request.headers(), &context.hosts);
        if let Err((status, words)) = checked {
            return problem(status, words);
        }
        let path = request.uri().path();
        if revocations::matches(path) {
            return revocations::respond(&context.panics, context.trust.revocations(), request).await;
        }
        if let Some(filter) = context.filter.as_ref().filter(|_| path == "/log-level") {
            return match *request.method() {
                Method::GET | Method::HEAD => reply(StatusCode::OK, TEXT, format!("{}\n", filter.current())),
                Method::PUT => set_filter(filter, request).await,
                _ => wrong_method("GET, HEAD, PUT"),
            };
        }
        let stream = path.strip_prefix("/streams/").or_else(|| path.strip_prefix("/tap/")).and_then(StreamPath::parse);
        let known = matches!(path, "/livez" | "/readyz" | "/metrics" | "/streams" | "/events" | "/config")
            || page::file(path).is_some()
            || stream.is_some();
        if !known {
            return not_found();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return wrong_method("GET, HEAD");
        }
        match path {
            "/livez" => self.live(),
            "/readyz" => self.ready(request.uri().query() == Some("cluster")),
            "/metrics" => self.metrics().await,
            "/streams" if request.uri().query().is_none() => self.streams().await,
            "/streams" => self.selection(request.uri().query()).await,
            "/events" => self.events(request.method(), request.uri().query(), shutdown),
            "/config" => json(StatusCode::OK, &**context.effective_config.load()),
            _ => match (page::file(path), stream) {
                (Some(file), _) => reply(StatusCode::OK, file.content_type, file.bytes),
                (None, Some(stream)) if path.starts_with("/tap/") => self.tap(stream, request.method(), shutdown).await,
                (None, Some(stream)) => self.stream(stream).await,
                (None, None) => not_found(),
            },
        }
    }

    fn live(&self) -> Response<Body> {
        match self.context.readiness.liveness() {
            Ok(()) => reply(StatusCode::OK, TEXT, "ok\n"),
            Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        }
    }

    /// Answers `/readyz`. `needs_cluster`: a note about the cluster counts as well.
    fn ready(&self, needs_cluster: bool) -> Response<Body> {
        let report = self.context.readiness.report();
        let is_ready = report.is_ready() && !(needs_cluster && report.notes.contains_key(Readiness::CLUSTER));
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &report)
    }

    async fn metrics(&self) -> Response<Body> {
        let metrics = self.context.metrics.clone();
        match self.metrics.get(&self.context.panics, "/metrics", move || metrics.render()).await {
            Some(text) => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            None => internal_error(),
        }
    }

    async fn streams(&self) -> Response<Body> {
        let streams = self.context.streams.clone();
        let render = move || Selection::of(&streams, &StreamQuery::default(), usize::MAX).into_json().to_string();
        let text = self.streams.get(&self.context.panics, "/streams", render).await;
        text.map_or_else(internal_error, |text| reply(StatusCode::OK, JSON, text))
    }

    /// Answers `/streams` with parameters.
    async fn selection(&self, query: Option<&str>) -> Response<Body> {
        let query = match StreamQuery::parse(query) {
            Ok(query) => query,
            Err(problem_found) => return problem(StatusCode::BAD_REQUEST, &problem_found),
        };
        let Ok(permit) = self.selections.clone().try_acquire_owned() else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "too many lists of streams wait for their clients");
        };
        let streams = self.context.streams.clone();
        let text = blocking(&self.context.panics, "/streams", move || {
            Selection::of(&streams, &query, MAX_LIMIT).into_json().to_string()
        })
        .await;
        text.map_or_else(internal_error, |text| {
            reply(StatusCode::OK, JSON, Bytes::from_owner(PermittedText { text, _permit: permit }))
        })
    }

    async fn stream(&self, stream: StreamPath) -> Response<Body> {
        let streams = self.context.streams.clone();
        let found = blocking(&self.context.panics, "/streams/", move || {
            stream_views::describe_with_slowest(&streams, &stream.route, &stream.key)
        })
        .await;
        found.map_or_else(internal_error, |found| {
            found.map_or_else(stream_not_found, |stream| json(StatusCode::OK, &stream))
        })
    }

    async fn tap(&self, stream: StreamPath, method: &Method, shutdown: CancellationToken) -> Response<Body> {
        let Ok(permit) = self.viewers.clone().try_acquire_owned() else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "too many status pages and taps are open");
        };
        let streams = self.context.streams.clone();
        let found = blocking(&self.context.panics, "/tap/", move || {
            stream_views::find(&streams, &stream.route, &stream.key).map(|stream| Tap::new(&stream))
        })
        .await;
        let Some(found) = found else { return internal_error() };
        let Some(tap) = found else { return stream_not_found() };
        let body = match *method {
            Method::HEAD => Body::default(),
            _ => tap::body(tap, permit, shutdown),
        };
        streaming(StatusCode::OK, "text/event-stream", body)
    }

    fn events(&self, method: &Method, query: Option<&str>, shutdown: CancellationToken) -> Response<Body> {
        let query = match StreamQuery::parse(query) {
            Ok(query) => query,
            Err(problem_found) => return problem(StatusCode::BAD_REQUEST, &problem_found),
        };
        let Ok(permit) = self.viewers.clone().try_acquire_owned() else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "too many status pages are open");
        };
        let body = match *method {
            Method::HEAD => Body::default(),
            _ => snapshots(self.context.panics.clone(), self.snapshots.clone(), Arc::new(query), permit, shutdown),
        };
        streaming(StatusCode::OK, "text/event-stream", body)
    }
}

/// The route and key of a stream.
struct StreamPath {
    route: String,
    key: String,
}

impl StreamPath {
    /// Parses `ROUTE/KEY`, both percent-encoded. A slash in the key may stand unencoded.
    fn parse(path: &str) -> Option<Self> {
        let decoded = |text| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
        let (route, key) = path.split_once('/')?;
        Some(Self { route: decoded(route)?, key: decoded(key)? })
    }
}

/// A text, with the permit that bounds how many of them wait for their clients.
struct PermittedText {
    text: String,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for PermittedText {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Replaces the log filter with the request's body.
async fn set_filter<B>(filter: &FilterHandle, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = match read_body(request, FILTER_BYTES).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Ok(text) = str::from_utf8(&body) else {
        return problem(StatusCode::BAD_REQUEST, "the filter is not UTF-8");
    };
    let before = filter.current();
    match filter.set(Some(text)) {
        Ok(()) => {
            let after = filter.current();
            // Logged at `warn`, which most filters pass, so that readers of the log can see why it changed.
            warn!(before, after, "log filter changed");
            reply(StatusCode::OK, TEXT, format!("{after}\n"))
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &format!("{error}: {FILTER_HELP}")),
    }
}

fn not_found() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "no such resource")
}

fn stream_not_found() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "no open stream with this route and key: /streams lists the open ones")
}

/// Streams one snapshot per second until the client or `shutdown` ends it.
fn snapshots(
    panics: Panics,
    snapshots: Arc<Snapshots>,
    query: Arc<StreamQuery>,
    permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) -> Body {
    let mut seconds = interval(PERIOD);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (panics, snapshots, query, seconds, shutdown, permit);
    StreamBody::new(stream::unfold(state, async |(panics, snapshots, query, mut seconds, shutdown, permit)| {
        shutdown.run_until_cancelled(seconds.tick()).await?;
        let answer = (snapshots.clone(), query.clone());
        let event = blocking(&panics, "/events", move || answer.0.event(&answer.1)).await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), (panics, snapshots, query, seconds, shutdown, permit)))
    }))
    .boxed_unsync()
}

const TEXT: &str = "text/plain; charset=utf-8";
const FILTER_BYTES: usize = 4 * 1024;
const FILTER_HELP: &str = "write a level (error, warn, info, debug, trace, off) or directives such as \
                           warn,rillgate=debug,rillgate::access=off";
/// Maximum number of answers of `/streams` with parameters that wait for their clients.
const MAX_SELECTIONS: usize = 16;
const PERIOD: Duration = Duration::from_secs(1);
