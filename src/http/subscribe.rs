//! A subscription: the stream is found or opened, the client's place in it, and the response that reads on from there.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use tokio::time::{Instant, timeout};

use super::body::ResponseBody;
use super::caller::Caller;
use super::delivery::{Delivery, Terms, Until};
use super::event_body::{EventBody, guard};
use super::gate::Gate;
use super::life::Life;
use super::permission::Permission;
use super::rejection::Rejection;
use super::report::Report;
use super::share::{self, Shared};
use super::target::{Target, parameter};
use super::trace::Trace;
use super::verdict::{prelude, teller};
use super::writer::Writer;
use crate::arithmetic;
use crate::auth::Grant;
use crate::chance;
use crate::listen::{self, Takeover, Unread};
use crate::route::{Keeping, Route, RouteObserver, Start, WhenDown};
use crate::sse::EventId;
use crate::stream::{Phase, StreamKey, StreamSpec, Subscription, Verdict};
use crate::upstream::HttpEventSource;

/// What a request asks for besides the stream.
struct Wish {
    /// The id to go on after.
    after: Option<String>,
    /// `false`: what is buffered, and the end.
    follow: bool,
    /// The most events.
    limit: u64,
}

/// Answers a request that may read the stream.
///
/// # Errors
/// Why it is not answered with a stream after all.
pub async fn respond(
    gate: &Arc<Gate>,
    route: &Arc<Route>,
    captures: &[(String, String)],
    target: &Target,
    head: &Parts,
    body: Unread,
    grant: Option<Grant>,
) -> Result<Response<ResponseBody>, Rejection> {
    let wish = Wish::of(route, head)?;
    let caller = Caller::of(gate, head, grant.as_ref());
    let Shared { key, query, headers } = share::values(&route.settings.share, head, grant.as_ref())?;
    if gate.memory.is_above() {
        return Err(Rejection::Memory);
    }
    let seat = gate.seats.take(grant.as_ref(), caller.forwarded_for)?;
    // For whoever opens the stream, or is caught up; hardly anyone does.
    let source = || {
        let path = format!("{}{query}", route.settings.upstream_path.fill(captures));
        let source = HttpEventSource::new(route.settings.upstream.clone(), path, headers.clone());
        // The request that opens the stream is the one that the upstream is told of.
        Arc::new(source.traced(head.extensions.get().map(Trace::headers).unwrap_or_default()))
    };
    let mut subscription = open(gate, route, target, key, source)?;
    wait_for_outcome(route, &mut subscription, &wish).await?;

    subscription.is_for(caller.reader());
    let caught_up = match &wish.after {
        Some(id) => catch_up(gate, route, &mut subscription, id, source).await,
        None => None,
    };
    // What a client was caught up with stands before the log: the id at its place is its own alone.
    let own_id = caught_up.is_some().then(|| EventId::new(wish.after.as_deref()?).ok()).flatten();
    let verdict = caught_up.unwrap_or_else(|| position(route, &mut subscription, &wish));
    let end = (!wish.follow).then(|| subscription.stream().progress().end);
    if subscription.stream().progress().phase == Phase::Complete && !subscription.is_behind() {
        return Ok(nothing_follows());
    }
    let id = own_id.or_else(|| subscription.id_in_force());

    let share = chance::share();
    let mut life = Life::new(gate.tasks.draining(), gate.spread, share);
    if let Some(most) = route.settings.delivery.max_age {
        life.at_most(most, share);
    }
    // Where rules are not enforced, nothing about a token ends what it began.
    let binding = grant.filter(|_| route.authorizer.as_ref().is_some_and(|authorizer| authorizer.settings().enforce));
    life.while_permitted(Permission::new(
        gate.clone(),
        route.clone(),
        target,
        binding,
        arithmetic::scale(gate.spread, share),
    ));
    let report = Report::new(route.metrics.clone(), caller, verdict, route.settings.delivery.retry, share, seat);
    let retry = report.jittered_retry(subscription.stream().progress().retry);
    let prelude = prelude(route.settings.replay.verdict, verdict, retry, id.as_ref());
    let stream = subscription.stream().clone();
    let ending = report.ending();
    let terms = Terms {
        life: life.clone(),
        heartbeat: route.settings.delivery.heartbeat,
        lagged: route.settings.delivery.lagged,
        is_latest_only: route.settings.delivery.latest,
        gather: route.settings.delivery.gather,
        tell: teller(route.settings.replay.verdict),
        until: Until { end, events: wish.limit },
    };
    let mut delivery = Delivery::new(subscription, terms, report);
    delivery.sent_prelude(prelude.len());

    let limits = gate.limits.load();
    // A finite response is worth keeping the connection for; an endless one is worth a writer of its own.
    let connection = head.extensions.get::<Takeover>();
    let takeover = connection.filter(|connection| {
        wish.follow && head.version == Version::HTTP_11 && body.is_empty && connection.is_possible()
    });
    let mut response = match takeover {
        Some(takeover) => {
            let (stall, batch) = (limits.stall_timeout, limits.send_buffer);
            takeover.claim(Box::new(move |transport, held, carrier| {
                carrier.carry(Writer::new(transport, delivery, stall, batch).run(held));
            }));
            let mut response = Response::new(ResponseBody::Opening(Some(prelude.body())));
            // Nothing else can follow on this connection, and a client that knows does not try.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        None => {
            let mut events = Box::new(EventBody::new(prelude.body(), delivery));
            if let Some(connection) = connection {
                connection.forgo();
                listen::watch(guard(life, events.watched(), stream, limits.stall_timeout, ending));
            }
            let mut response = Response::new(ResponseBody::Events(events));
            // Without chunks (HTTP/1.0), or without an end in sight, nothing else can follow.
            if head.version < Version::HTTP_11 || (head.version == Version::HTTP_11 && wish.follow) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    stream_headers(headers);
    let verdict = HeaderValue::from_str(&verdict.to_string()).expect("a verdict is visible ASCII");
    headers.insert(HeaderName::from_static("rillgate-resume"), verdict);
    Ok(response)
}

/// The head of a stream without the stream.
pub fn head_alone() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    stream_headers(response.headers_mut());
    response
}

/// What every event stream says about itself.
pub fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

impl Wish {
    fn of(route: &Route, head: &Parts) -> Result<Self, Rejection> {
        let follow = match parameter(head, "follow")?.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(Rejection::Malformed("follow is true or false.")),
        };
        let limit = match parameter(head, "limit")? {
            None => u64::MAX,
            Some(limit) => match limit.parse() {
                Ok(limit @ 1..) => limit,
                _ => return Err(Rejection::Malformed("limit is a number from 1.")),
            },
        };
        Ok(Self { after: last_event_id(route, head)?, follow, limit })
    }
}

/// The header, else the parameter. What cannot be an id, or is empty, counts as none, as it does for an event source.
fn last_event_id(route: &Route, head: &Parts) -> Result<Option<String>, Rejection> {
    let id = match head.headers.get("last-event-id") {
        Some(id) => std::str::from_utf8(id.as_bytes()).ok().map(str::to_owned),
        None => parameter(head, &route.settings.replay.query_id)?,
    };
    Ok(id.filter(|id| !id.is_empty() && EventId::new(id.as_str()).is_ok()))
}

fn open(
    gate: &Gate,
    route: &Arc<Route>,
    target: &Target,
    shared: Vec<(String, String)>,
    source: impl FnOnce() -> Arc<HttpEventSource>,
) -> Result<Subscription, Rejection> {
    let key = StreamKey {
        route: Arc::from(route.settings.name.as_str()),
        path: target.path.clone(),
        shared,
        origin: route.origin,
    };
    gate.streams.subscribe(&key, || spec(gate, route, source())).map_err(|_| Rejection::StreamsFull)
}

/// Where the log does not have what follows the id, asks the upstream, as the stream itself does.
async fn catch_up(
    gate: &Gate,
    route: &Route,
    subscription: &mut Subscription,
    id: &str,
    source: impl FnOnce() -> Arc<HttpEventSource>,
) -> Option<Verdict> {
    let read_through = route.read_through.as_ref()?;
    // What a header cannot carry, or not as it is, would be another question.
    let is_header = HeaderValue::from_bytes(id.as_bytes()).is_ok();
    if !is_header || id.trim_matches([' ', '\t']) != id || subscription.has(id) {
        return None;
    }
    let (stream, id) = (subscription.stream().clone(), EventId::new(id).ok()?);
    let backlog = read_through.catch_up(&gate.tasks, &stream, &id, || source()).await?;
    Some(subscription.catch_up(backlog))
}

/// How the streams of a route are made.
pub fn spec(gate: &Gate, route: &Route, source: Arc<HttpEventSource>) -> StreamSpec {
    let store = gate.store.clone().filter(|_| route.settings.replay.store == Keeping::Disk);
    StreamSpec {
        policy: route.settings.stream,
        source,
        backoff: route.settings.upstream.backoff,
        tell: teller(route.settings.replay.verdict),
        is_always_open: route.settings.open == crate::route::Open::Always,
        store: store.map(|store| (store, route.stored_origin)),
        observer: Arc::new(RouteObserver(route.metrics.clone())),
    }
}

/// The head of a response that opens a stream tells how that went; it waits for the first outcome, within bounds.
async fn wait_for_outcome(route: &Route, subscription: &mut Subscription, wish: &Wish) -> Result<(), Rejection> {
    let is_refused_when_down = route.settings.delivery.when_down == WhenDown::Refuse;
    let begun = Instant::now();
    let patience = route.settings.upstream.open_timeout;
    match timeout(patience, subscription.opened(is_refused_when_down)).await {
        Ok(outcome) => outcome.map_err(Rejection::Upstream)?,
        Err(_) if is_refused_when_down => return Err(Rejection::UpstreamSilent),
        Err(_) => {}
    }
    if let Some(id) = &wish.after {
        subscription.may_find(id, patience.saturating_sub(begun.elapsed())).await;
    }
    Ok(())
}

fn position(route: &Route, subscription: &mut Subscription, wish: &Wish) -> Verdict {
    let verdict = match &wish.after {
        Some(id) => subscription.resume(id, route.settings.replay.on_gap),
        // A finite read without an id is for everything that is there.
        None if !wish.follow => subscription.start(Start::Oldest),
        None => subscription.start(route.settings.replay.start),
    };
    if let Verdict::Gap(gap) = verdict {
        route.metrics.gap(gap.reason());
    }
    verdict
}

/// Tells an event source to stop (HTML standard, 9.2.5).
fn nothing_follows() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
