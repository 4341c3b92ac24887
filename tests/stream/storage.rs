//! Tests of the registry and the store of its logs: each identity is stored for one stream at a time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rillgate::sse::EventId;
use rillgate::stream::{
    EventStream, Ids, LivePolicy, LogPersister, LogSnapshot, LogStorage, LogStore, Offset, OnEnd, Phase, Policy,
    StoredStream,
};
use tokio::time::sleep;

use crate::fixture::{Fixture, emit, key_of, read, texts_of};

/// A store that records the calls of the registry. It has nothing, unless the test stores a stream in it.
#[derive(Clone, Debug, Default)]
struct Recorder {
    calls: Arc<Mutex<Vec<String>>>,
    /// The number of openings that it refuses.
    refusals: Arc<AtomicUsize>,
    stored: Arc<Mutex<Option<StoredStream>>>,
}

#[derive(Debug)]
struct Recorded {
    store: Recorder,
    key: String,
    stream: Weak<EventStream>,
}

impl Recorder {
    fn calls(&self) -> Vec<String> {
        self.calls.lock().clone()
    }
}

impl LogStore for Recorder {
    fn open(&self, stream: &Arc<EventStream>) -> Option<Arc<dyn LogPersister>> {
        let key = stream.key().to_string();
        if self.refusals.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            self.calls.lock().push(format!("refuse {key}"));
            return None;
        }
        self.calls.lock().push(format!("open {key}"));
        Some(Arc::new(Recorded { store: self.clone(), key, stream: Arc::downgrade(stream) }))
    }
}

impl LogPersister for Recorded {
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>> {
        std::future::ready(self.store.stored.lock().take()).boxed()
    }

    fn notify_changed(&self) {
        let is_attached = self.stream.upgrade().is_some_and(|stream| stream.persister().is_some());
        assert!(is_attached, "a change after this notice and before the storage is attached would be lost");
    }

    fn persisted_until(&self) -> Option<Offset> {
        None
    }

    fn close(&self) {
        self.store.calls.lock().push(format!("close {}", self.key));
    }
}

/// Returns a registry with this store, and the calls that it has received.
fn fixture(storage: LogStorage) -> (Fixture, Recorder) {
    let (mut fixture, store) =
        (Fixture::new(Policy { storage, linger: Duration::ZERO, ..Policy::default() }), Recorder::default());
    fixture.set_store(Arc::new(store.clone()));
    (fixture, store)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_closed_in_the_store_before_the_next_one_can_be_opened() {
    let (fixture, store) = fixture(LogStorage::Disk);
    let open = |path: &str| fixture.streams.subscribe(&key_of(path), || fixture.spec.clone()).expect("room");
    (0..10).for_each(|number| drop(open(&format!("/{number}"))));

    // No task has run: the eleventh takes the place of the first, which comes back in place of the second.
    drop(open("/10"));
    drop(open("/0"));

    assert_eq!(store.calls()[10..], ["close /0", "open /10", "close /1", "open /0"]);
    sleep(Duration::from_secs(1)).await;
    let calls = store.calls();
    for number in 0..=10 {
        let last = calls.iter().rfind(|call| call.ends_with(&format!(" /{number}")));
        assert_eq!(*last.expect("it was opened"), format!("close /{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_stored_once_its_policy_says_so() {
    let (fixture, store) = fixture(LogStorage::Memory);
    let reader = fixture.subscribe();
    assert!(store.calls().is_empty());

    fixture.spec.policy.replace(Policy { storage: LogStorage::Disk, ..fixture.spec.policy.current() });
    fixture.streams.apply_policies();
    fixture.streams.apply_policies();
    assert_eq!(store.calls(), ["open /a"]);
    drop(reader);
    sleep(Duration::from_secs(1)).await;

    assert_eq!(store.calls()[1..], ["close /a"; 2], "once by the registry and once by its task");
}

#[tokio::test(start_paused = true)]
async fn a_stored_end_counts_only_if_the_route_still_completes_with_a_response() {
    for (on_end, phase, opens) in [(OnEnd::Complete, Phase::Complete, 0), (OnEnd::Reconnect, Phase::Live, 1)] {
        let (fixture, store) = fixture(LogStorage::Disk);
        fixture.spec.policy.replace(Policy { on_end, ..fixture.spec.policy.current() });
        let earlier = EventStream::with_restorable_log(key_of("/a"), Ids::Keep, LivePolicy::new(Policy::default()));
        let stored = StoredStream {
            snapshot: LogSnapshot {
                entries: Vec::new(),
                events_before: 7,
                id_before: EventId::new("7").expect("an id"),
                source_id_before: EventId::new("7").expect("an id"),
                is_exact: true,
            },
            seed: earlier.fingerprints().seed(),
            epoch: "0".repeat(16),
            retry: None,
            is_clean: true,
            complete_for: Some(Duration::from_secs(1)),
            is_stopped: false,
        };
        *store.stored.lock() = Some(stored);
        let _upstream = fixture.upstream.will_open();

        let mut reader = fixture.subscribe();
        reader.opened(false).await.expect("restored");

        assert_eq!(reader.stream().progress().phase, phase);
        assert_eq!(fixture.upstream.opens(), opens, "{on_end:?}");
        if opens > 0 {
            assert_eq!(fixture.upstream.asked_after(0), EventId::new("7").ok(), "it continues after what is stored");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_store_refused_is_offered_again_at_the_next_reload() {
    for storage in [LogStorage::Memory, LogStorage::Disk] {
        let (fixture, store) = fixture(storage);
        store.refusals.store(1, Relaxed);
        let upstream = fixture.upstream.will_open();
        let mut reader = fixture.subscribe();
        fixture.spec.policy.replace(Policy { storage: LogStorage::Disk, ..fixture.spec.policy.current() });
        if storage == LogStorage::Memory {
            fixture.streams.apply_policies();
        }
        assert_eq!(store.calls(), ["refuse /a"], "{storage:?}");
        assert!(reader.stream().persister().is_none(), "{storage:?}");

        fixture.streams.apply_policies();

        assert_eq!(store.calls(), ["refuse /a", "open /a"], "{storage:?}");
        emit(&upstream, [1]);
        assert_eq!(read(&mut reader, 1).await, texts_of([1]), "{storage:?}");
    }
}
