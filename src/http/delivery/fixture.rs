//! A stream and its deliveries, for the tests of what carries them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};

use super::delivery::Delivery;
use super::delivery_options::{DeliveryOptions, ReadLimit};
use super::record::{EndReasonCell, SubscriptionRecord};
use crate::config::Config;
use crate::http::request::client_info::ClientInfo;
use crate::http::subscription_limits::SubscriptionLimits;
use crate::route::Settings;
use crate::runtime::memory::Watermark;
use crate::runtime::tasks::Tasks;
use crate::sse::{Event, EventId, Frame};
use crate::stream::{
    Attempts, Entry, EntryKind, EventSource, EventStream, Gap, Ids, LivePolicy, Offset, OpenError, OpenOutcome, Policy,
    ResumeVerdict, StreamFeed, StreamIdentity, StreamKey, StreamObserver, StreamSpec, Streams, Subscription,
};
use crate::telemetry::{EndReason, Metrics, Protocol};

/// The age beyond which events are evicted.
pub(super) const AGE: Duration = Duration::from_secs(600);

/// A registry with one stream, which has no upstream.
pub(super) struct DeliveryFixture {
    streams: Streams,
    pub(super) stream: Arc<EventStream>,
    limits: SubscriptionLimits,
    metrics: Arc<Metrics>,
    settings: Arc<Settings>,
    _reader: Subscription,
}

impl DeliveryFixture {
    pub(super) fn new() -> Self {
        Self::with_latest(false)
    }

    /// Creates a fixture with this value of `delivery.latest`.
    pub(super) fn with_latest(is_latest_only: bool) -> Self {
        let config = Config::parse(include_str!("../../../config/minimal.toml"), Path::new("")).expect("a valid file");
        let mut settings = (*config.routes[0]).clone();
        settings.delivery.heartbeat = Duration::from_secs(3600);
        settings.delivery.latest = is_latest_only;
        let shared = Arc::new(ArcSwap::from_pointee(config.limits));
        let streams = Streams::new(shared.clone(), None, Tasks::default());
        let metrics = Metrics::new("0");
        let memory = Arc::new(Watermark::new(streams.ledger().clone()));
        let limits = SubscriptionLimits::new(shared, memory, metrics.shares());
        let reader = subscribe(&streams);
        Self {
            stream: reader.stream().clone(),
            streams,
            limits,
            metrics,
            settings: Arc::new(settings),
            _reader: reader,
        }
    }

    /// Publishes an event of so many bytes.
    pub(super) fn publish(&self, bytes: usize) {
        self.publish_as(0, bytes, Instant::now());
    }

    /// Publishes an event of so many bytes, which was received at `at` and whose type has this fingerprint.
    pub(super) fn publish_as(&self, type_fingerprint: u64, bytes: usize, at: Instant) {
        let frame = Frame::from(&Event { data: "x".repeat(bytes), ..Event::default() });
        let kind = EntryKind::Event { fingerprint: 0, has_own_id: false, type_fingerprint };
        let (id, source_id) = (EventId::default(), EventId::default());
        self.stream.publish([Entry { frame, id, source_id, kind, at }]);
    }

    /// Evicts all events, and makes memory full.
    pub(super) fn fill_memory(&self) {
        self.fill_memory_at(Instant::now() + 2 * AGE);
        assert_eq!(self.stream.log().events(), 0);
    }

    /// Evicts the events that are too old at `now`, and makes memory full.
    pub(super) fn fill_memory_at(&self, now: Instant) {
        self.stream.expire(now);
        self.streams.ledger().set_bound(Some(1));
        assert!(self.stream.is_memory_full());
    }

    /// Returns a delivery of the events from now on, which ends with `lifetime`, and the reason of its end.
    pub(super) fn delivery(&self, lifetime: BoxFuture<'static, EndReason>) -> (Delivery, EndReasonCell) {
        let (subscription, stream) = (subscribe(&self.streams), self.stream.clone());
        let client = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: Protocol::Http1,
            subject: None,
            user_agent: None,
            request_id: "1".into(),
            trace_id: 1,
        };
        let permit = self.limits.acquire(None, None, stream.key()).expect("room for one");
        let (route, verdict) = (self.metrics.route("all"), Some(ResumeVerdict::Live));
        let record = SubscriptionRecord::new(route, client, verdict, 0.0, false, stream, permit);
        let end_reason = record.end_reason();
        let options = DeliveryOptions {
            encoder: None,
            lifetime,
            settings: self.settings.clone(),
            read_limit: ReadLimit { end: Offset::UNREACHED, events: u64::MAX },
            long_id: None,
        };
        (Delivery::new(subscription, None, options, record), end_reason)
    }
}

fn subscribe(streams: &Streams) -> Subscription {
    let key = StreamKey {
        route: "all".into(),
        path: "/a".to_owned(),
        shared: Vec::new(),
        identity: StreamIdentity::default(),
    };
    let spec = || StreamSpec {
        ids: Ids::Keep,
        policy: LivePolicy::new(Policy::default()),
        source: Arc::new(Silent),
        feed: StreamFeed::Alone,
        gap_notice: |_| |_, _| None,
        attempts: Attempts::UntilRefused,
        request: None,
        observer: Arc::new(Uncounted),
    };
    streams.subscribe(&key, spec).expect("room for one stream")
}

/// A source that never opens.
struct Silent;

impl EventSource for Silent {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        std::future::pending().boxed()
    }
}

struct Uncounted;

impl StreamObserver for Uncounted {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
}
