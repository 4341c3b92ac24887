//! The metrics of one route: its requests, subscribers and streams.
//!
//! Every method may be called from any thread. Methods for deliveries are a few atomic operations without a lock, on
//! memory of the thread's own. Methods for requests may take a read lock. A route without streams (`-`, for requests that
//! matched no route) has no stream metrics. Does not know streams or keys: all streams of one route share these
//! metrics.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram, Label};
use tracing::warn;

use super::buffered::{BufferedCounter, BufferedGauge};
use super::catalogue::{self, GAP_REASONS};
use super::delivery_metrics::DeliveryMetrics;
use super::family::Family;
use super::forward::ForwardMetrics;
use super::label::{CodingLabel, EndReason, Protocol, StreamState, VerdictLabel};
use super::line_limiter::LineLimiter;
use super::logging::ACCESS;
use super::registry::Registry;

/// The rejections that alerts watch. Their series start at zero, so that an increase over them includes the first one.
const CAPACITY: [&str; 9] = [
    "subscribers",
    "streams",
    "memory",
    "tickets",
    "subscriptions_per_subject",
    "connections_per_ip",
    "subscriptions_per_ip",
    "streams_per_ip",
    "stream_opens",
];

/// The rejections of connections that alerts watch.
const PRE_REQUEST: [&str; 2] = ["connections", "connections_per_ip"];

/// Most lines of one route in a second that tell of refusals and failures, which clients can cause.
const MAX_REFUSAL_LINES: u32 = 100;

/// The metrics of one route.
pub struct RouteMetrics {
    name: String,
    registry: Registry,
    requests: Family<u16>,
    rejections: Family<&'static str>,
    auth_failures: Family<&'static str>,
    /// Bounds lines about refusals.
    lines: LineLimiter,
    stream_metrics: OnceLock<StreamMetrics>,
    forward: OnceLock<Arc<ForwardMetrics>>,
}

/// Totals of a route for the status page, since the start of the process unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RouteTotals {
    /// The route's name.
    pub route: String,
    /// Current subscribers.
    pub subscribers: i64,
    /// Current streams, in any state.
    pub streams: i64,
    /// Current streams whose upstream is not connected but should be (opening, retrying or stuck).
    pub streams_waiting: i64,
    /// Events received from the upstream.
    pub upstream_events: u64,
    /// Events handed to clients.
    pub events_delivered: u64,
    /// Bytes handed to clients.
    pub bytes_sent: u64,
    /// Gaps told to clients.
    pub gaps: u64,
    /// Rejected requests.
    pub rejections: u64,
}

/// The handles of a route with streams. All their series exist from the start.
struct StreamMetrics {
    subscribers: [BufferedGauge; 2],
    subscriptions: [BufferedCounter; VerdictLabel::ALL.len()],
    ended: [BufferedCounter; 12],
    streams: [BufferedGauge; StreamState::ALL.len()],
    upstream_events: BufferedCounter,
    upstream_bytes: BufferedCounter,
    upstream_connects: Family<&'static str>,
    deliveries: DeliveryMetrics,
    events_delivered: Counter,
    bytes_sent: Counter,
    bytes_saved: [BufferedCounter; CodingLabel::ALL.len()],
    event_log_events: BufferedGauge,
    event_log_bytes: BufferedGauge,
    gaps: Family<&'static str>,
    read_throughs: Family<&'static str>,
    fruitless_ends: BufferedCounter,
    lag: Histogram,
}

impl RouteMetrics {
    /// The name that stands for no route.
    pub const NONE: &'static str = "-";

    pub(super) fn new(registry: &Registry, name: &str) -> Self {
        let labels = || vec![Label::new("route", name.to_owned())];
        let metrics = Self {
            name: name.to_owned(),
            registry: registry.clone(),
            requests: Family::new(registry, catalogue::REQUESTS, labels(), "status"),
            rejections: Family::new(registry, catalogue::REJECTIONS, labels(), "reason"),
            auth_failures: Family::new(registry, catalogue::AUTH_FAILURES, labels(), "reason"),
            lines: LineLimiter::new(MAX_REFUSAL_LINES),
            stream_metrics: OnceLock::new(),
            forward: OnceLock::new(),
        };
        if name == Self::NONE {
            metrics.rejections.prepare(&PRE_REQUEST);
        } else {
            metrics.rejections.prepare(&CAPACITY);
            metrics.stream_metrics();
        }
        metrics
    }

    /// Returns the route's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if a line about a refusal or failure may be logged now. Others are counted, and told once a second
    /// by [`Metrics::report_suppressed_lines`](super::Metrics::report_suppressed_lines).
    pub fn acquire_refusal_line(&self) -> bool {
        self.lines.acquire(Instant::now())
    }

    pub(super) fn report_suppressed_lines(&self) {
        let lines = self.lines.take_suppressed();
        if lines > 0 {
            warn!(target: ACCESS, route = self.name, lines, "further lines suppressed");
        }
    }

    /// Returns the metrics of forwarded requests, creating them on first use.
    pub fn forward(&self) -> &Arc<ForwardMetrics> {
        self.forward.get_or_init(|| Arc::new(ForwardMetrics::new(&self.registry, &self.name)))
    }

    /// Counts the start of a subscription. Call [`Self::ended`] with the same protocol once for each.
    pub fn subscribed(&self, protocol: Protocol) {
        self.stream_metrics().subscribers[protocol as usize].change(1);
    }

    /// Counts the verdict of a subscription, or its end before the verdict. Call it once for each.
    pub fn settled(&self, verdict: VerdictLabel) {
        self.stream_metrics().subscriptions[verdict as usize].add(1);
    }

    /// Counts the end of a subscription.
    pub fn ended(&self, protocol: Protocol, end: EndReason) {
        let metrics = self.stream_metrics();
        metrics.subscribers[protocol as usize].change(-1);
        metrics.ended[end as usize].add(1);
    }

    /// Counts events that were handed to one client's transport, and their total size. Call it once per write.
    pub fn delivered(&self, events: u64, bytes: u64) {
        self.stream_metrics().deliveries.delivered(events, bytes);
    }

    /// Counts bytes other than events (preludes, heartbeats) that were handed to a client's transport.
    pub fn sent(&self, bytes: u64) {
        self.stream_metrics().deliveries.sent(bytes);
    }

    /// Counts bytes that a content coding saved.
    pub fn saved(&self, coding: CodingLabel, bytes: u64) {
        self.stream_metrics().bytes_saved[coding as usize].add(bytes);
    }

    /// Records the time since the oldest event of a write was parsed. Call it once per write.
    pub fn delivery(&self, latency: Duration) {
        self.stream_metrics().deliveries.latency(latency);
    }

    /// Records by how many events a subscriber is behind the newest one. Sample it: it costs about 70 ns and, until the
    /// next [`Metrics::upkeep`](super::Metrics::upkeep), 16 bytes.
    pub fn lag(&self, events: u64) {
        self.stream_metrics().lag.record(events as f64);
    }

    /// Counts a response of this status. A number outside 100 to 599 counts as 0.
    pub fn request(&self, status: u16) {
        self.requests.increment(if (100..600).contains(&status) { status } else { 0 });
    }

    /// Counts a rejected request.
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.increment(reason);
    }

    /// Counts a token that was missing, invalid or insufficient.
    pub fn auth_failure(&self, reason: &'static str) {
        self.auth_failures.increment(reason);
    }

    /// Counts a gap that was told to a client: `evicted`, `unknown`, `restarted`, `lagged`, `upstream` or `too_large`.
    pub fn gap(&self, reason: &'static str) {
        self.stream_metrics().gaps.increment(reason);
    }

    /// Counts an upstream response that ended without a new id.
    pub fn fruitless_end(&self) {
        self.stream_metrics().fruitless_ends.add(1);
    }

    /// Counts an extra request for the upstream's history: `ok`, or the reason why it had no result.
    pub fn read_through(&self, result: &'static str) {
        self.stream_metrics().read_throughs.increment(result);
    }

    /// Counts an attempt to open the upstream: `ok`, or the kind of error.
    pub fn upstream_connect(&self, result: &'static str) {
        self.stream_metrics().upstream_connects.increment(result);
    }

    /// Counts body bytes from the upstream, and the events that they completed.
    pub fn upstream_received(&self, events: u64, bytes: u64) {
        let metrics = self.stream_metrics();
        metrics.upstream_events.add(events);
        metrics.upstream_bytes.add(bytes);
    }

    /// Records how many streams are in each state, in the order of [`StreamState`].
    pub fn streams(&self, by_state: [usize; StreamState::ALL.len()]) {
        let metrics = self.stream_metrics();
        for (gauge, count) in metrics.streams.iter().zip(by_state) {
            gauge.set(count);
        }
    }

    /// Records the size of the route's event logs, all streams together.
    pub fn event_logs(&self, events: usize, bytes: usize) {
        let metrics = self.stream_metrics();
        metrics.event_log_events.set(events);
        metrics.event_log_bytes.set(bytes);
    }

    /// Returns the current totals. They are zero where the route never had a stream.
    pub fn totals(&self) -> RouteTotals {
        let metrics = self.stream_metrics.get();
        let count = |read: fn(&StreamMetrics) -> u64| metrics.map_or(0, read);
        let level = |read: fn(&StreamMetrics) -> i64| metrics.map_or(0, read);
        RouteTotals {
            route: self.name.clone(),
            subscribers: level(|metrics| metrics.subscribers.iter().map(BufferedGauge::value).sum()),
            streams: level(|metrics| metrics.streams.iter().map(BufferedGauge::value).sum()),
            streams_waiting: level(|metrics| {
                [StreamState::Opening, StreamState::Retrying, StreamState::Stuck]
                    .iter()
                    .map(|state| metrics.streams[*state as usize].value())
                    .sum()
            }),
            upstream_events: count(|metrics| metrics.upstream_events.value()),
            events_delivered: count(|metrics| metrics.deliveries.events()),
            bytes_sent: count(|metrics| metrics.deliveries.bytes()),
            gaps: count(|metrics| metrics.gaps.total()),
            rejections: self.rejections.total(),
        }
    }

    /// Copies the numbers of deliveries to the recorder, and returns their latencies.
    pub(super) fn publish(&self) -> Option<&DeliveryMetrics> {
        let StreamMetrics { deliveries, events_delivered, bytes_sent, .. } = self.stream_metrics.get()?;
        events_delivered.absolute(deliveries.events());
        bytes_sent.absolute(deliveries.bytes());
        Some(deliveries)
    }

    fn stream_metrics(&self) -> &StreamMetrics {
        self.stream_metrics.get_or_init(|| StreamMetrics::new(&self.registry, &self.name))
    }
}

impl StreamMetrics {
    fn new(registry: &Registry, route: &str) -> Self {
        let labels = || vec![Label::new("route", route.to_owned())];
        let with = |label: &'static str, value: &'static str| {
            let mut labels = labels();
            labels.push(Label::new(label, value));
            labels
        };
        let counter = |name| registry.buffered_counter(name, labels());
        let gauge = |name| registry.buffered_gauge(name, labels());
        let gaps = Family::new(registry, catalogue::GAPS, labels(), "reason");
        gaps.prepare(&GAP_REASONS);
        let upstream_connects = Family::new(registry, catalogue::UPSTREAM_CONNECTS, labels(), "result");
        upstream_connects.prepare(&["ok"]);
        let read_throughs = Family::new(registry, catalogue::READ_THROUGHS, labels(), "result");
        read_throughs.prepare(&["ok"]);
        Self {
            subscribers: Protocol::ALL
                .map(|protocol| registry.buffered_gauge(catalogue::SUBSCRIBERS, with("protocol", protocol.as_str()))),
            subscriptions: VerdictLabel::ALL
                .map(|verdict| registry.buffered_counter(catalogue::SUBSCRIPTIONS, with("verdict", verdict.as_str()))),
            ended: EndReason::ALL
                .map(|end| registry.buffered_counter(catalogue::SUBSCRIPTIONS_ENDED, with("reason", end.as_str()))),
            streams: StreamState::ALL
                .map(|state| registry.buffered_gauge(catalogue::STREAMS, with("state", state.as_str()))),
            fruitless_ends: counter(catalogue::FRUITLESS_ENDS),
            upstream_events: counter(catalogue::UPSTREAM_EVENTS),
            upstream_bytes: counter(catalogue::UPSTREAM_BYTES),
            upstream_connects,
            deliveries: DeliveryMetrics::default(),
            events_delivered: registry.counter(catalogue::EVENTS_DELIVERED, labels()),
            bytes_sent: registry.counter(catalogue::BYTES_SENT, labels()),
            bytes_saved: CodingLabel::ALL
                .map(|coding| registry.buffered_counter(catalogue::BYTES_SAVED, with("coding", coding.as_str()))),
            event_log_events: gauge(catalogue::EVENT_LOG_EVENTS),
            event_log_bytes: gauge(catalogue::EVENT_LOG_BYTES),
            gaps,
            read_throughs,
            lag: registry.histogram(catalogue::LAG_EVENTS, labels()),
        }
    }
}
