//! A subscription: the stream is found or opened, the client's place in it, and the response that reads on from there.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONNECTION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use tokio::time::timeout;

use super::app::App;
use super::delivery::delivery::{Delivery, DeliveryOptions, ReadLimit, parted};
use super::delivery::event_body::{EventBody, guard};
use super::delivery::http1_writer::Http1Writer;
use super::delivery::lifetime::{self, Lifetime};
use super::delivery::notice::{PENDING, pending_prelude, prelude, teller};
use super::delivery::pending_resume::{PendingResume, ResumeOutcome};
use super::delivery::permission::Permission;
use super::delivery::record::SubscriptionRecord;
use super::request::client_info::ClientInfo;
use super::request::params::SubscribeParams;
use super::request::shared_values::{self, SharedValues};
use super::request::target::RequestTarget;
use super::request::trace::Trace;
use super::response::body::AppBody;
use super::response::headers::{incremental, stream_headers};
use super::response::rejection::Rejection;
use crate::auth::{Authorizer, Grant};
use crate::listen::{self, Handoff, RequestBodyInfo};
use crate::route::{LogStorage, Route, RouteObserver, WhenDown};
use crate::runtime::arithmetic;
use crate::runtime::jitter;
use crate::stream::{Phase, StreamKey, StreamSpec, Subscription};
use crate::telemetry::EndReason;
use crate::upstream::HttpEventSource;

/// Answers a request that may read the stream.
///
/// # Errors
/// Why it is not answered with a stream after all.
pub async fn respond(
    app: &Arc<App>,
    route: &Arc<Route>,
    captures: &[(String, String)],
    target: &RequestTarget,
    head: &Parts,
    body: RequestBodyInfo,
    grant: Option<Grant>,
) -> Result<Response<AppBody>, Rejection> {
    let wish = SubscribeParams::of(head, &target.query, &route.settings.replay.query_id)?;
    let caller = ClientInfo::of(app, head, grant.as_ref());
    let most = app.limits.load().header_bytes;
    let SharedValues { key, query, headers, .. } =
        shared_values::values(&route.settings.share, head, &target.query, grant.as_ref(), most)?;
    if app.memory.is_above() {
        return Err(Rejection::Memory);
    }
    let key = stream_key(route, target, key);
    let permit = app.subscription_limits.take(grant.as_ref(), caller.forwarded_for, &key)?;
    // For whoever opens the stream, or is caught up; hardly anyone does.
    let source = || {
        let mut resource = route.settings.upstream_path.fill(captures);
        resource.add_query(&query);
        let source = HttpEventSource::new(route.upstream.clone(), resource, headers.clone());
        // The request that opens the stream is the one that the upstream is told of.
        Arc::new(source.traced(head.extensions.get().map(Trace::headers).unwrap_or_default()))
    };
    let mut subscription = open(app, route, &key, source)?;
    subscription.set_client(caller.reader());
    let (is_followed, limit) = (wish.follow, wish.limit);
    let mut settling = Box::new(PendingResume::new(app.clone(), route.clone(), wish, source));
    let settled = settle_in_time(route, &mut settling, &mut subscription).await?;
    let end = (!is_followed).then(|| subscription.stream().progress().end);
    let is_complete = subscription.stream().progress().phase == Phase::Complete;
    if settled.is_some() && is_complete && !subscription.has_unread() {
        return Ok(nothing_follows());
    }

    let share = jitter::share();
    let mut life = Lifetime::new(app.tasks.draining(), app.spread, share);
    if let Some(most) = route.settings.delivery.max_age {
        life.at_most(most, share);
    }
    if let Some(place) = permit.place() {
        life.until_replaced(place.replaced().clone());
    }
    let rules = route.authorizer.as_ref().map(Authorizer::settings);
    // Where rules are not enforced, nothing about a token ends what it began.
    let (binding, unenforced) = match rules.is_some_and(|rules| rules.enforce) {
        true => (grant, None),
        false => (None, grant),
    };
    let expiry_spread = rules.map_or(Duration::ZERO, |rules| rules.expiry_spread);
    let departure = arithmetic::scale(app.spread, share);
    let stream = subscription.stream().clone();
    let permission = |grant| Permission::new(app.clone(), route.clone(), target, stream.clone(), grant, departure);
    let unenforced = unenforced.map(|grant| {
        let mut life = Lifetime::new(app.tasks.draining(), app.spread, share);
        life.while_permitted(permission(Some(grant)), expiry_spread, share);
        life
    });
    life.while_permitted(permission(binding), expiry_spread, share);
    let over: BoxFuture<'static, EndReason> = match unenforced {
        None => Box::pin(life.clone().over()),
        Some(unenforced) => Box::pin(lifetime::noting(life.clone(), unenforced, route.metrics.clone())),
    };
    let verdict = settled.as_ref().map(|settled| settled.verdict);
    let retry = route.settings.delivery.retry;
    let report = SubscriptionRecord::new(route.metrics.clone(), caller, verdict, retry, share, stream.clone(), permit);
    let retry = report.jittered_retry(subscription.stream().progress().retry);
    let (id, long_id) = parted(settled.as_ref().and_then(|settled| settled.id.clone()), subscription.stream());
    let prelude = match &settled {
        Some(ResumeOutcome { verdict, .. }) => prelude(route.settings.replay.verdict, *verdict, retry, id.as_ref()),
        None => pending_prelude(retry),
    };
    let ending = report.ending();
    let terms = DeliveryOptions {
        over,
        heartbeat: route.settings.delivery.heartbeat,
        lagged: route.settings.delivery.lagged,
        is_latest_only: route.settings.delivery.latest,
        gather: route.settings.delivery.gather,
        tell: teller(route.settings.replay.verdict),
        end: route.settings.delivery.end,
        until: ReadLimit { end, events: limit },
        long_id,
    };
    let mut delivery = Delivery::new(subscription, settled.is_none().then_some(settling), terms, report);
    delivery.sent_prelude(prelude.len());

    let limits = app.limits.load();
    // A finite response is worth keeping the connection for; an endless one is worth a writer of its own.
    let connection = head.extensions.get::<Handoff>();
    let takeover = connection.filter(|connection| {
        is_followed && head.version == Version::HTTP_11 && body.is_empty && connection.is_available()
    });
    let mut response = match takeover {
        Some(takeover) => {
            let (stall, batch) = (limits.stall_timeout, limits.send_buffer);
            takeover.claim(Box::new(move |transport, held, carrier| {
                carrier.spawn(Http1Writer::new(transport, delivery, stall, batch).run(held));
            }));
            let mut response = Response::new(AppBody::Opening(Some(prelude.body())));
            // Nothing else can follow on this connection, and a client that knows does not try.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        None => {
            let mut events = Box::new(EventBody::new(prelude.body(), delivery));
            if let Some(connection) = connection {
                connection.disable();
                listen::abort_when(guard(life, events.watched(), stream, limits.stall_timeout, ending));
            }
            let mut response = Response::new(AppBody::Events(events));
            // Without chunks (HTTP/1.0), or without an end in sight, nothing else can follow.
            if head.version < Version::HTTP_11 || (head.version == Version::HTTP_11 && is_followed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    stream_headers(headers);
    if route.settings.delivery.incremental {
        incremental(headers);
    }
    let verdict = verdict.map_or_else(|| PENDING.to_owned(), |verdict| verdict.to_string());
    let verdict = HeaderValue::from_str(&verdict).expect("a verdict is visible ASCII");
    headers.insert(HeaderName::from_static("rillgate-resume"), verdict);
    Ok(response)
}

/// The head of a stream without the stream.
pub fn head_alone(route: &Route) -> Response<AppBody> {
    let mut response = Response::new(AppBody::empty());
    stream_headers(response.headers_mut());
    if route.settings.delivery.incremental {
        incremental(response.headers_mut());
    }
    response
}

fn stream_key(route: &Route, target: &RequestTarget, shared: Vec<(String, String)>) -> StreamKey {
    StreamKey {
        route: Arc::from(route.settings.name.as_str()),
        path: target.path.encoded().to_owned(),
        shared,
        origin: route.origin,
    }
}

fn open(
    app: &App,
    route: &Arc<Route>,
    key: &StreamKey,
    source: impl FnOnce() -> Arc<HttpEventSource>,
) -> Result<Subscription, Rejection> {
    app.streams.subscribe(key, || spec(app, route, source())).map_err(|_| Rejection::StreamsFull)
}

/// How the streams of a route are made.
pub fn spec(app: &App, route: &Route, source: Arc<HttpEventSource>) -> StreamSpec {
    let store = app.store.clone().filter(|_| route.settings.replay.store == LogStorage::Disk);
    StreamSpec {
        policy: route.settings.stream,
        source,
        backoff: route.settings.upstream.backoff,
        gap_notice: teller(route.settings.replay.verdict),
        is_always_open: route.settings.open == crate::route::Open::Always,
        store: store.map(|store| (store, route.stored_origin)),
        observer: Arc::new(RouteObserver(route.metrics.clone())),
    }
}

/// Waits for the client's place as long as its head may: `None` when it is not known then.
///
/// A finite read, and a route that refuses when its upstream is down, wait for the outcome itself: once there is a head,
/// neither a status nor an end that is too early can be taken back.
async fn settle_in_time(
    route: &Route,
    settling: &mut PendingResume,
    subscription: &mut Subscription,
) -> Result<Option<ResumeOutcome>, Rejection> {
    let delivery = &route.settings.delivery;
    let is_held = settling.wish().follow && delivery.when_down == WhenDown::Hold;
    let settled = poll_fn(|cx| settling.poll(cx, subscription));
    let Some(answer_within) = delivery.answer_within.filter(|_| is_held) else { return settled.await.map(Some) };
    if let Ok(settled) = timeout(answer_within, settled).await {
        return settled.map(Some);
    }
    subscription.stream().note_early_response();
    // A refusal that came just before that would not be remembered for long enough.
    match poll_fn(|cx| Poll::Ready(settling.poll(cx, subscription))).await {
        Poll::Ready(settled) => settled.map(Some),
        Poll::Pending => Ok(None),
    }
}

/// Tells an event source to stop (HTML standard, 9.2.5).
fn nothing_follows() -> Response<AppBody> {
    let mut response = Response::new(AppBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
