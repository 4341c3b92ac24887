//! A subscription: finds or opens the stream, moves to the client's position, and returns the response that reads on from
//! there.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONNECTION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use tokio::time::timeout;

use super::app::App;
use super::delivery::before_events::split_long_id;
use super::delivery::content_encoder::ContentEncoder;
use super::delivery::delivery::Delivery;
use super::delivery::delivery_options::{DeliveryOptions, ReadLimit};
use super::delivery::event_body::{EventBody, enforce_deadlines};
use super::delivery::http1_writer::Http1Writer;
use super::delivery::lifetime::{self, Lifetime};
use super::delivery::notice::{PENDING, gap_notice, pending_prelude, prelude};
use super::delivery::pending_resume::{HistoryRequest, PendingResume, ResumeOutcome};
use super::delivery::permission::Permission;
use super::delivery::record::SubscriptionRecord;
use super::request::accept_encoding;
use super::request::client_info::ClientInfo;
use super::request::params::SubscribeParams;
use super::request::shared_values::SharedValues;
use super::request::target::RequestTarget;
use super::response::body::AppBody;
use super::response::headers::{content_coding, incremental, stream_headers};
use super::response::rejection::Rejection;
use super::routed_request::RoutedRequest;
use super::subscription_limits::SubscriptionPermit;
use crate::auth::{Authorizer, Grant};
use crate::coding::ContentCoding;
use crate::listen::{IncomingRequest, Prelude};
use crate::route::{EndForm, Open, Route, RouteObserver, WhenDown};
use crate::runtime::jitter;
use crate::stream::{
    Attempts, CodedReader, EventSource, EventStream, Incompletion, Offset, Phase, SourceHeader, SourceRequest,
    StreamFeed, StreamSpec, Subscription,
};
use crate::telemetry::EndReason;

/// A request that was admitted to a stream.
pub(super) struct AdmittedReader<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) route: &'r Arc<Route>,
    pub(super) target: &'r RequestTarget,
    pub(super) request: &'r IncomingRequest,
    pub(super) client: ClientInfo,
    pub(super) permit: SubscriptionPermit,
    pub(super) grant: Option<Grant>,
    pub(super) params: SubscribeParams,
    /// Whether it is sent upstream if its stream is not open. Otherwise it reads what there was of the stream.
    pub(super) may_send: bool,
}

/// Responds with a stream to a request that may read it.
///
/// # Errors
/// The refusal, if a parameter is invalid, a limit is reached, or the upstream refuses.
pub(super) async fn respond(routed: RoutedRequest<'_>, grant: Option<Grant>) -> Result<Response<AppBody>, Rejection> {
    let RoutedRequest { app, route, captures, target, request, trace } = routed;
    let head = &request.head;
    let params = SubscribeParams::from_head(head, &target.query, &route.settings.replay)?;
    let client = ClientInfo::new(app, request, trace, grant.as_ref());
    let address = client.limited_address(app, &request.peer);
    let max = app.limits.load().header_bytes;
    let shared = SharedValues::from_head(&route.settings.share, head, &target.query, grant.as_ref(), max)?;
    let (headers, key) = (shared.headers, route.stream_key(target.path.encoded(), captures, shared.key));
    let permit = app.subscription_limits.acquire(grant.as_ref(), address, &key)?;
    // Called only if this request opens the stream or asks for history, which few do.
    let source = || {
        let resource = route.resource(captures, &key.shared);
        route.upstream.source(SourceRequest {
            path: resource.path,
            query: resource.query,
            headers: source_headers(headers.clone()),
            // The upstream gets the trace of the request that opens the stream.
            trace: source_headers(trace.headers()),
            ..SourceRequest::default()
        })
    };
    if !app.streams.contains(&key) {
        app.stream_opens.acquire(address, key.route.clone(), longest_wait(route)).await?;
    }
    let subscription = app.streams.subscribe_from(address, &key, || stream_spec(route, source()))?;
    let owner = history_owner(address, grant.as_ref());
    let history = || HistoryRequest { source: source(), owner };
    let admitted = AdmittedReader { app, route, target, request, client, permit, grant, params, may_send: true };
    deliver(admitted, subscription, history).await
}

/// Responds with the events of a stream to a request that was admitted to it. `history` makes what a request for the
/// upstream's history needs.
///
/// # Errors
/// The refusal, if the upstream refuses.
pub(super) async fn deliver(
    admitted: AdmittedReader<'_>,
    mut subscription: Subscription,
    history: impl FnOnce() -> HistoryRequest,
) -> Result<Response<AppBody>, Rejection> {
    let AdmittedReader { app, route, target, request, client, permit, grant, params, may_send } = admitted;
    let head = &request.head;
    subscription.set_client(client.stream_client());
    let phase = subscription.stream().progress().phase;
    // What is restored has broken off before.
    let is_late = phase.is_kept() || (!may_send && matches!(phase, Phase::Opening));
    let (is_followed, max_events) = (params.follow, params.limit);
    let mut pending_resume = Box::new(PendingResume::new(app.clone(), route.clone(), params, history));
    let outcome = resume_before_head(route, &mut pending_resume, &mut subscription).await?;
    let end = if is_followed { Offset::UNREACHED } else { subscription.stream().progress().end };
    let is_complete =
        matches!(subscription.stream().progress().phase, Phase::Complete | Phase::Incomplete(Incompletion::Stopped));
    if outcome.is_some() && is_complete && !subscription.has_unread() {
        return Ok(stream_complete());
    }

    let jitter = jitter::unit();
    let stream = subscription.stream().clone();
    let (lifetime, ended) = response_lifetime(app, route, target, &permit, &stream, grant, jitter);
    let verdict = outcome.as_ref().map(|outcome| outcome.verdict);
    let record =
        SubscriptionRecord::new(route.metrics.clone(), client, verdict, jitter, is_late, stream.clone(), permit);
    let retry = record.jittered_retry(route.settings.delivery.retry);
    let (id, long_id) = split_long_id(outcome.as_ref().and_then(|outcome| outcome.id.clone()), &stream);
    let prelude = match &outcome {
        Some(ResumeOutcome { verdict, .. }) => prelude(route.settings.stream.verdict, *verdict, retry, id.as_ref()),
        None => pending_prelude(retry),
    };
    let mut encoder = content_encoder(route, head, &stream);
    let prelude = match &mut encoder {
        None => prelude,
        Some(encoder) => encode_prelude(encoder, &prelude),
    };
    let coding = encoder.as_ref().map(|encoder| encoder.coding());
    let end_reason = record.end_reason();
    let read_limit = ReadLimit { end, events: max_events };
    let options = DeliveryOptions { lifetime: ended, settings: route.settings.clone(), read_limit, long_id, encoder };
    let mut delivery = Delivery::new(subscription, outcome.is_none().then_some(pending_resume), options, record);
    delivery.sent_prelude(prelude.lines().len());

    let limits = app.limits.load();
    // A finite response leaves its connection to the next request, so hyper keeps it. An endless one gets a writer of
    // its own.
    let is_endless = is_followed && head.version == Version::HTTP_11;
    let handoff = request.handoff.as_ref();
    let body = match handoff.filter(|handoff| is_endless && request.is_body_empty && handoff.is_available()) {
        Some(handoff) => {
            let (stall_timeout, max_batch) = (limits.stall_timeout, limits.send_buffer);
            AppBody::Prelude(handoff.claim(prelude, move |transport, leftover, task| {
                task.spawn(Http1Writer::new(transport, delivery, stall_timeout, max_batch).run(leftover));
            }))
        }
        None => {
            let mut events = Box::new(EventBody::new(prelude.into_lines(), delivery));
            if let Some(handoff) = handoff {
                let progress = events.monitor();
                handoff.decline(enforce_deadlines(
                    lifetime.ended(),
                    progress,
                    stream,
                    limits.stall_timeout,
                    end_reason,
                ));
            }
            AppBody::Events(events)
        }
    };
    // No request can follow a response that takes the connection over, or one without chunks (HTTP/1.0). Others keep it,
    // as the answer to a POST. Node.js takes a response that is cut for a whole one if it says `close`, so one that may be
    // cut does not: its client learns it from the end of the connection.
    let says_close = match matches!(body, AppBody::Prelude(_)) {
        true => route.settings.delivery.end == EndForm::Clean,
        false => head.version < Version::HTTP_11,
    };
    let mut response = Response::new(body);
    if says_close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    add_stream_headers(route, coding, &mut response);
    let verdict = verdict.map_or_else(|| PENDING.to_owned(), |verdict| verdict.to_string());
    let verdict = HeaderValue::from_str(&verdict).expect("a verdict is visible ASCII");
    response.headers_mut().insert(HeaderName::from_static("rillgate-resume"), verdict);
    Ok(response)
}

/// Returns the response to `HEAD`: the header fields of a stream, without opening it.
pub(super) fn respond_to_head(route: &Route, head: &Parts) -> Response<AppBody> {
    let mut response = Response::new(AppBody::empty());
    add_stream_headers(route, coding(route, head), &mut response);
    response
}

/// Returns the specification of a stream of this route.
pub(crate) fn stream_spec(route: &Route, source: Arc<dyn EventSource>) -> StreamSpec {
    StreamSpec {
        ids: route.settings.ids,
        policy: route.policy.clone(),
        source,
        feed: StreamFeed::Alone,
        gap_notice,
        attempts: match route.settings.open {
            Open::Always => Attempts::Unlimited,
            Open::OnDemand => Attempts::UntilRefused,
        },
        request: None,
        observer: Arc::new(RouteObserver(route.metrics.clone())),
    }
}

/// Returns header fields as sources take them.
pub(super) fn source_headers(headers: Vec<(HeaderName, HeaderValue)>) -> Vec<SourceHeader> {
    let header = |(name, value): (HeaderName, HeaderValue)| SourceHeader {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    headers.into_iter().map(header).collect()
}

/// The time that a request waits before it may open a stream, if its head waits for the outcome.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// Returns the time that a request waits before it may open a stream: as long as its head may wait.
pub(super) fn longest_wait(route: &Route) -> Duration {
    route.settings.delivery.answer_within.unwrap_or(OPEN_WAIT)
}

/// Returns the owner of a client's requests for history. A trusted proxy that forwards for nobody has no share of its own.
fn history_owner(address: Option<IpAddr>, grant: Option<&Grant>) -> Option<Arc<str>> {
    match grant {
        Some(grant) => Some(format!("{:?}", grant.holder()).into()),
        None => address.map(|address| address.to_string().into()),
    }
}

/// Runs the resume for as long as the head may wait. Returns `None` if it is still pending then.
///
/// A finite read, and a route with `when_down = "refuse"`, wait for the outcome in any case: after the head, neither the
/// status nor an end that came too early can be taken back.
async fn resume_before_head(
    route: &Route,
    pending_resume: &mut PendingResume,
    subscription: &mut Subscription,
) -> Result<Option<ResumeOutcome>, Rejection> {
    let delivery = &route.settings.delivery;
    let may_be_late = pending_resume.params().follow && delivery.when_down == WhenDown::Hold;
    let outcome = poll_fn(|cx| pending_resume.poll(cx, subscription));
    let Some(answer_within) = delivery.answer_within.filter(|_| may_be_late) else { return outcome.await.map(Some) };
    if let Ok(outcome) = timeout(answer_within, outcome).await {
        return outcome.map(Some);
    }
    subscription.stream().note_early_response();
    // Poll once more: from now on the stream remembers a refusal for late readers, but not one from just before.
    match poll_fn(|cx| Poll::Ready(pending_resume.poll(cx, subscription))).await {
        Poll::Ready(outcome) => outcome.map(Some),
        Poll::Pending => Ok(None),
    }
}

/// Returns the bounds of the response's life, and a future that completes when it ends.
///
/// If the route does not enforce its rules, nothing about a token ends the response; its expiry or revocation is only logged.
fn response_lifetime(
    app: &Arc<App>,
    route: &Arc<Route>,
    target: &RequestTarget,
    permit: &SubscriptionPermit,
    stream: &Arc<EventStream>,
    grant: Option<Grant>,
    jitter: f64,
) -> (Lifetime, BoxFuture<'static, EndReason>) {
    let rules = route.authorizer.as_ref().map(Authorizer::settings);
    let expiry_spread = rules.map_or(Duration::ZERO, |rules| rules.expiry_spread);
    let (enforced, unenforced) = match rules.is_some_and(|rules| rules.enforce) {
        true => (grant, None),
        false => (None, grant),
    };
    let new_lifetime = |grant| {
        let permission = Permission::new(app.clone(), route.clone(), target, stream.clone(), grant);
        Lifetime::new(permission, expiry_spread, jitter)
    };
    let mut lifetime = new_lifetime(enforced);
    if let Some(max_age) = route.settings.delivery.max_age {
        lifetime.set_max_age(max_age);
    }
    if let Some(subject_permit) = permit.subject_permit() {
        lifetime.end_when_replaced(subject_permit.replaced().clone());
    }
    let ended: BoxFuture<'static, EndReason> = match unenforced.map(|grant| new_lifetime(Some(grant))) {
        None => Box::pin(lifetime.clone().ended()),
        Some(unenforced) => Box::pin(lifetime::log_unenforced_end(lifetime.clone(), unenforced, route.metrics.clone())),
    };
    (lifetime, ended)
}

/// Returns the content coding of a response to this request.
fn coding(route: &Route, head: &Parts) -> Option<ContentCoding> {
    accept_encoding::select(&head.headers, &route.settings.delivery.compression)
}

fn content_encoder(route: &Route, head: &Parts, stream: &EventStream) -> Option<Box<ContentEncoder>> {
    let coding = coding(route, head)?;
    let log = stream.coded_log(coding, route.settings.delivery.compression_window);
    Some(Box::new(ContentEncoder::new(CodedReader::new(log))))
}

/// Encodes the prelude. It is stored uncompressed, so it still ends in a bare line feed.
fn encode_prelude(encoder: &mut ContentEncoder, prelude: &Prelude) -> Prelude {
    Prelude::new(encoder.start(prelude.lines()).into()).expect("a stored prelude ends as the prelude does")
}

fn add_stream_headers(route: &Route, coding: Option<ContentCoding>, response: &mut Response<AppBody>) {
    stream_headers(response.headers_mut());
    if !route.settings.delivery.compression.is_empty() {
        content_coding(response.headers_mut(), coding);
    }
    if route.settings.delivery.incremental {
        incremental(response.headers_mut());
    }
}

/// Returns 204, which tells an `EventSource` not to reconnect (HTML standard, 9.2.5).
fn stream_complete() -> Response<AppBody> {
    let mut response = Response::new(AppBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
