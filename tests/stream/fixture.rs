//! A registry of streams and a scripted upstream that sends through a channel.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{StreamExt, poll_fn};
use parking_lot::Mutex;
use rillgate::config::Config;
use rillgate::limits::{Limits, SharedLimits};
use rillgate::runtime::backoff::Backoff;
use rillgate::runtime::tasks::Tasks;
use rillgate::sse::{Event, EventId, Frame, Item};
use rillgate::stream::{
    Attempts, Batch, Continuity, EventSource, Gap, Ids, Interrupted, LivePolicy, LogStore, OpenError, OpenOutcome,
    Opened, Policy, Ready, SourceAnswer, StreamFeed, StreamIdentity, StreamKey, StreamObserver, StreamSpec, Streams,
    Subscription,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

pub type Sender = UnboundedSender<Result<Batch, Interrupted>>;
type Receiver = UnboundedReceiver<Result<Batch, Interrupted>>;

/// An upstream with scripted responses. Once they are used up, it is unreachable.
#[derive(Clone, Default)]
pub struct Upstream(Arc<Script>);

#[derive(Default)]
struct Script {
    outcomes: Mutex<VecDeque<Result<OpenOutcome, OpenError>>>,
    opens: Mutex<Vec<(Instant, Option<EventId>)>>,
}

impl Upstream {
    pub fn will_open(&self) -> Sender {
        self.will_open_with(Vec::new(), Continuity::Unknown)
    }

    /// Answers with what the upstream retains and its statement about the requested id.
    pub fn will_open_with(&self, retained: Vec<Item>, continuity: Continuity) -> Sender {
        let (sender, mut receiver): (_, Receiver) = unbounded_channel();
        let items = poll_fn(move |cx| receiver.poll_recv(cx)).boxed();
        let opened = Opened { retained, items, continuity };
        self.0.outcomes.lock().push_back(Ok(OpenOutcome::Stream(opened)));
        sender
    }

    pub fn will_answer(&self, answer: SourceAnswer) {
        self.0.outcomes.lock().push_back(Ok(OpenOutcome::Answer(answer)));
    }

    pub fn will_refuse(&self, error: OpenError) {
        self.0.outcomes.lock().push_back(Err(error));
    }

    pub fn opens(&self) -> usize {
        self.0.opens.lock().len()
    }

    /// Returns the last event id that an attempt sent.
    pub fn asked_after(&self, attempt: usize) -> Option<EventId> {
        self.0.opens.lock()[attempt].1.clone()
    }

    /// Returns the seconds between consecutive attempts.
    pub fn delays(&self) -> Vec<f64> {
        self.0.opens.lock().windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
    }
}

impl EventSource for Upstream {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        self.0.opens.lock().push((Instant::now(), after));
        let outcome = self.0.outcomes.lock().pop_front();
        let outcome = outcome.unwrap_or_else(|| Err(OpenError::Unreachable("nobody there".to_owned())));
        std::future::ready(outcome).boxed()
    }
}

struct Uncounted;

impl StreamObserver for Uncounted {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
}

/// A registry with one upstream, and the settings of its streams.
#[derive(Clone)]
pub struct Fixture {
    pub tasks: Tasks,
    limits: SharedLimits,
    pub streams: Streams,
    pub upstream: Upstream,
    pub spec: StreamSpec,
}

impl Fixture {
    pub fn new(policy: Policy) -> Self {
        let tasks = Tasks::default();
        let upstream = Upstream::default();
        let spec = StreamSpec {
            ids: Ids::Keep,
            policy: LivePolicy::new(policy),
            source: Arc::new(upstream.clone()),
            feed: StreamFeed::Alone,
            gap_notice: |_| |_, _| None,
            attempts: Attempts::UntilRefused,
            request: None,
            observer: Arc::new(Uncounted),
        };
        let limits = Arc::new(ArcSwap::from_pointee(Limits { streams: 10, ..default_limits() }));
        Self { streams: Streams::new(limits.clone(), None, tasks.clone()), limits, tasks, upstream, spec }
    }

    /// Stores the logs of streams to come here.
    pub fn set_store(&mut self, store: Arc<dyn LogStore>) {
        self.streams = Streams::new(self.limits.clone(), Some(store), self.tasks.clone());
    }

    /// Sets `limits.streams`, as a reload of the configuration does.
    pub fn set_streams(&self, streams: usize) {
        let limits = Limits { streams, ..(**self.limits.load()).clone() };
        self.limits.store(Arc::new(limits));
    }

    /// Sets `limits.memory`, as a reload of the configuration does.
    pub fn set_memory(&self, bytes: u64) {
        let limits = Limits { memory: Some(bytes), ..(**self.limits.load()).clone() };
        self.limits.store(Arc::new(limits));
        self.streams.ledger().set_bound(Some(bytes));
    }

    pub fn subscribe(&self) -> Subscription {
        self.streams.subscribe(&key(), || self.spec.clone()).expect("room")
    }

    pub fn is_open(&self) -> bool {
        self.streams.contains(&key())
    }
}

pub const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(30) };

/// Returns the limits of a configuration without a `[limits]` table.
fn default_limits() -> Limits {
    Config::parse(include_str!("../../config/minimal.toml"), Path::new("")).expect("a valid file").limits
}

fn key() -> StreamKey {
    key_of("/a")
}

pub fn key_of(path: &str) -> StreamKey {
    StreamKey { route: "all".into(), path: path.to_owned(), shared: Vec::new(), identity: StreamIdentity::default() }
}

pub fn event(number: usize) -> Event {
    let id = EventId::new(number.to_string()).expect("digits");
    Event { data: format!("event {number}"), id: Some(id), ..Event::default() }
}

pub fn batch(items: Vec<Item>) -> Result<Batch, Interrupted> {
    Ok(Batch { items, ..Batch::default() })
}

pub fn emit(upstream: &Sender, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        upstream.send(batch(vec![Item::Event(event(number))])).expect("the stream listens");
    }
}

pub fn texts(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| String::from_utf8(frame.body().to_vec()).expect("text")).collect()
}

pub fn texts_of(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| texts(&[Frame::from(&event(number))]).remove(0)).collect()
}

pub async fn read(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        assert_eq!(subscription.ready().await, Ready::Entries);
        seen.extend(texts(&subscription.take(usize::MAX, u64::MAX).expect("not lagged").frames));
    }
    seen
}
