//! Tests of an upstream that a reload replaces under an open stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use rillgate::runtime::connect_budget::ConnectBudget;
use rillgate::runtime::memory::{MemoryCharge, MemoryKind};
use rillgate::runtime::resolver::Resolver;
use rillgate::sse::{Event, EventId, Item};
use rillgate::stream::{
    Batch, CatchUpLimit, Continuity, EventSource, Gap, LiveUpstream, Offset, OnEnd, OpenError, OpenOutcome, Opened,
    Phase, Policy, ReadThrough, SourceRequest, StreamObserver, Subscription, Upstream, UpstreamTiming,
};
use tokio::time::{Instant, sleep, timeout};

use crate::fixture::{BACKOFF, Fixture, key_of};

/// The behavior of an upstream's connections.
#[derive(Clone, Copy, Debug)]
enum Behavior {
    /// They are never answered.
    Unanswered,
    /// They are open and silent.
    Silent,
    /// They always have data.
    Busy,
    /// They bring one large event.
    Large,
    /// Sends one event of 16 MiB and ends.
    LargeAndLast,
}

#[derive(Clone, Debug)]
struct Scripted {
    credentials: u8,
    behavior: Behavior,
    opens: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(credentials: u8, behavior: Behavior) -> Self {
        Self { credentials, behavior, opens: Arc::default() }
    }

    fn opens(&self) -> usize {
        self.opens.load(Ordering::Relaxed)
    }
}

impl Upstream for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn timing(&self) -> UpstreamTiming {
        UpstreamTiming { open_timeout: Duration::from_secs(60), backoff: BACKOFF }
    }

    fn identity(&self) -> [u8; 32] {
        [0; 32]
    }

    fn credentials(&self) -> [u8; 32] {
        [self.credentials; 32]
    }

    fn can_resume_after(&self, _: &EventId) -> bool {
        true
    }

    fn source(self: Arc<Self>, _: &Arc<SourceRequest>, _: &ConnectBudget) -> Arc<dyn EventSource> {
        self
    }
}

impl EventSource for Scripted {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        let large = |bytes| {
            let event = Event { data: "x".repeat(16 << 20), ..Event::default() };
            stream::iter([Ok(Batch { items: vec![Item::Event(event)], bytes, ..Batch::default() })])
        };
        let items = match self.behavior {
            Behavior::Unanswered => return std::future::pending().boxed(),
            Behavior::Silent => stream::pending().boxed(),
            Behavior::Busy => {
                stream::repeat_with(|| Ok(Batch { items: Vec::new(), bytes: 1, ..Batch::default() })).boxed()
            }
            Behavior::Large => large(16 << 20).chain(stream::pending()).boxed(),
            // So few bytes that the end is read in the same turn.
            Behavior::LargeAndLast => large(1).boxed(),
        };
        std::future::ready(Ok(OpenOutcome::Stream(Opened {
            retained: Vec::new(),
            items,
            continuity: Continuity::Unknown,
        })))
        .boxed()
    }
}

fn live(upstream: &Scripted) -> Arc<LiveUpstream> {
    let budget = ConnectBudget::new(Resolver::new(Arc::new(|| ())), Arc::new(|| ()));
    LiveUpstream::new(Arc::new(upstream.clone()), budget)
}

#[tokio::test(start_paused = true)]
async fn new_credentials_connect_anew_whatever_the_old_connection_does() {
    for behavior in [Behavior::Unanswered, Behavior::Silent, Behavior::Busy] {
        let (old, new) = (Scripted::new(1, behavior), Scripted::new(2, Behavior::Silent));
        let upstream = live(&old);
        let mut fixture = Fixture::new(Policy::default());
        fixture.spec.source = upstream.source(SourceRequest::default());
        let reader = fixture.subscribe();
        let opened = |upstream: Scripted| async move {
            while upstream.opens() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(5), opened(old.clone())).await.expect("opened");

        upstream.replace(Arc::new(new.clone()));

        timeout(Duration::from_secs(5), opened(new.clone())).await.unwrap_or_else(|_| panic!("{behavior:?}"));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(reader.stream().progress().phase, Phase::Live, "{behavior:?}");
        assert_eq!((old.opens(), new.opens()), (1, 1), "{behavior:?}");
    }
}

/// Opens a stream whose first event is so large that it must not grow for a while. Renews the credentials meanwhile.
async fn renewed_in_a_pause(old: &Scripted, new: &Scripted, policy: Policy) -> Subscription {
    let upstream = live(old);
    let mut fixture = Fixture::new(policy);
    fixture.set_memory(100 << 20);
    // The more streams there are, the longer each has to wait.
    let _others: Vec<_> = (0..9)
        .map(|number| fixture.streams.subscribe(&key_of(&format!("/{number}")), || fixture.spec.clone()).expect("room"))
        .collect();
    fixture.spec.source = upstream.source(SourceRequest::default());
    let reader = fixture.subscribe();
    let _held = MemoryCharge::new(fixture.streams.ledger(), MemoryKind::Http2, 95 << 20);
    while reader.stream().log().end() == Offset::default() {
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_millis(100)).await;

    upstream.replace(Arc::new(new.clone()));

    sleep(Duration::from_millis(100)).await;
    reader
}

#[tokio::test(start_paused = true)]
async fn new_credentials_end_the_pause_of_a_stream_that_must_not_grow() {
    let (old, new) = (Scripted::new(1, Behavior::Large), Scripted::new(2, Behavior::Silent));

    renewed_in_a_pause(&old, &new, Policy::default()).await;

    assert_eq!(new.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn new_credentials_do_not_reopen_a_stream_that_has_ended() {
    let (old, new) = (Scripted::new(1, Behavior::LargeAndLast), Scripted::new(2, Behavior::Silent));

    let reader = renewed_in_a_pause(&old, &new, Policy { on_end: OnEnd::Complete, ..Policy::default() }).await;

    sleep(Duration::from_secs(10)).await;
    assert_eq!((reader.stream().progress().phase, new.opens()), (Phase::Complete, 0));
}

/// Records the results of requests for history.
#[derive(Default)]
struct Results(Mutex<Vec<&'static str>>);

impl StreamObserver for Results {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
    fn read_through(&self, result: &'static str) {
        self.0.lock().push(result);
    }
}

#[tokio::test(start_paused = true)]
async fn new_credentials_end_a_request_for_history() {
    for behavior in [Behavior::Silent, Behavior::Busy] {
        let old = Scripted::new(1, behavior);
        let upstream = live(&old);
        let fixture = Fixture::new(Policy::default());
        let _open = fixture.upstream.will_open();
        let mut reader = fixture.subscribe();
        reader.opened(false).await.expect("opened");
        let limit = CatchUpLimit { events: 10, bytes: 1024, concurrent: 1 };
        let results = Arc::new(Results::default());
        let history = ReadThrough::new(limit, Duration::from_secs(60), results.clone(), Arc::new(|| ()));
        let begun = Instant::now();

        let (tasks, after) = (&fixture.tasks, EventId::new("7").expect("an id"));
        let source = || upstream.source(SourceRequest::default());
        let caught_up = history.catch_up(tasks, reader.stream(), &after, None, source);
        let replaced = async {
            while old.opens() == 0 {
                tokio::task::yield_now().await;
            }
            upstream.replace(Arc::new(Scripted::new(2, behavior)));
        };
        let (caught_up, ()) = tokio::join!(caught_up, replaced);

        assert!(caught_up.is_err() && begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        assert_eq!(*results.0.lock(), ["broken"], "{behavior:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_settings_apply_to_the_next_attempt() {
    let (old, new) = (Scripted::new(1, Behavior::Silent), Scripted::new(1, Behavior::Silent));
    let upstream = live(&old);
    let source = upstream.source(SourceRequest::default());
    let _open = source.open(None).await.expect("opened");

    upstream.replace(Arc::new(new.clone()));

    let is_changed = timeout(Duration::from_secs(60), source.credentials_changed()).await.is_ok();
    assert!(!is_changed);
    source.open(None).await.expect("opened");
    assert_eq!((old.opens(), new.opens()), (1, 1));
}
