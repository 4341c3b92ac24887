//! Tests of the registry and the store of its logs: each identity is stored for one stream at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rillgate::stream::{EventStream, LogPersister, LogStorage, LogStore, Offset, Policy, StoredStream};
use tokio::time::sleep;

use crate::fixture::{Fixture, key_of};

/// A store that has nothing and records the calls of the registry.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

#[derive(Debug)]
struct Recorded(Recorder, String);

impl LogStore for Recorder {
    fn open(&self, stream: &Arc<EventStream>) -> Arc<dyn LogPersister> {
        self.0.lock().push(format!("open {}", stream.key()));
        Arc::new(Recorded(self.clone(), stream.key().to_string()))
    }
}

impl LogPersister for Recorded {
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>> {
        std::future::ready(None).boxed()
    }

    fn notify_changed(&self) {}

    fn persisted_until(&self) -> Option<Offset> {
        None
    }

    fn close(&self) {
        self.0.0.lock().push(format!("close {}", self.1));
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

    assert_eq!(store.0.lock()[10..], ["close /0", "open /10", "close /1", "open /0"]);
    sleep(Duration::from_secs(1)).await;
    let calls = store.0.lock();
    for number in 0..=10 {
        let last = calls.iter().rfind(|call| call.ends_with(&format!(" /{number}")));
        assert_eq!(*last.expect("it was opened"), format!("close /{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_stored_once_its_policy_says_so() {
    let (fixture, store) = fixture(LogStorage::Memory);
    let reader = fixture.subscribe();
    assert!(store.0.lock().is_empty());

    fixture.spec.policy.replace(Policy { storage: LogStorage::Disk, ..fixture.spec.policy.current() });
    fixture.streams.apply_policies();
    fixture.streams.apply_policies();
    assert_eq!(*store.0.lock(), ["open /a"]);
    drop(reader);
    sleep(Duration::from_secs(1)).await;

    assert_eq!(store.0.lock()[1..], ["close /a"; 2], "once by the registry and once by its task");
}
