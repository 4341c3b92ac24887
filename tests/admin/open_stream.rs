//! One open stream with one reader: the route `prices`, the path `/prices/EURUSD`.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use rillgate::config::Config;
use rillgate::limits::SharedLimits;
use rillgate::runtime::tasks::Tasks;
use rillgate::sse::EventId;
use rillgate::stream::{
    Attempts, Continuity, EventSource, Gap, Ids, LivePolicy, OpenError, OpenOutcome, Opened, Policy, StreamFeed,
    StreamIdentity, StreamKey, StreamObserver, StreamSpec, Streams, Subscription,
};

pub const KEY: &str = "/prices/EURUSD";

/// A registry whose only stream has one reader.
pub struct OpenStream {
    pub limits: SharedLimits,
    pub streams: Streams,
    _reader: Subscription,
}

impl OpenStream {
    /// Opens the stream on the runtime that calls this.
    pub fn new() -> Self {
        let config = Config::parse(include_str!("../../config/minimal.toml"), Path::new("")).expect("a valid file");
        let limits = Arc::new(ArcSwap::from_pointee(config.limits));
        let streams = Streams::new(limits.clone(), None, Tasks::default());
        let reader = subscribe(&streams);
        Self { limits, streams, _reader: reader }
    }

    /// Waits until the stream is connected to its source.
    pub async fn connected(&self) {
        subscribe(&self.streams).opened(false).await.expect("a source that opens");
    }
}

fn subscribe(streams: &Streams) -> Subscription {
    let key = StreamKey {
        route: "prices".into(),
        path: KEY.to_owned(),
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

/// Opens at once and sends nothing.
struct Silent;

impl EventSource for Silent {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        let opened = Opened { retained: Vec::new(), items: stream::pending().boxed(), continuity: Continuity::Unknown };
        std::future::ready(Ok(OpenOutcome::Stream(opened))).boxed()
    }
}

struct Uncounted;

impl StreamObserver for Uncounted {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
}
