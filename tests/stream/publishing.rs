//! Tests of events published together, as a reader sees them at the moment of its wake-up.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rillgate::stream::{Policy, Subscription};
use tokio::time::sleep;

use super::fixture::{Fixture, emit};

/// Fewer events than the ingest collects before it publishes.
const READY: usize = 60;

/// On each wake-up, records how many events are waiting for a reader that has read nothing.
struct Look {
    reader: Subscription,
    found: Mutex<Vec<u64>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        let found = self.reader.events_behind();
        self.found.lock().push(found);
    }
}

#[tokio::test(start_paused = true)]
async fn a_woken_reader_finds_everything_that_the_upstream_had_ready() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");
    let look = Arc::new(Look { reader: fixture.subscribe(), found: Mutex::default() });
    let waker = Waker::from(look.clone());
    assert!(reader.poll_ready(&mut Context::from_waker(&waker)).is_pending());

    // One item at a time, like the chunks of a body.
    emit(&upstream, 0..READY);
    while reader.events_behind() < READY as u64 {
        sleep(Duration::from_millis(1)).await;
    }

    assert_eq!(*look.found.lock(), [READY as u64]);
}
