//! Tests of the guard: what it ends, and what it leaves alone.

use tokio::time::timeout;

use super::*;
use crate::runtime::tasks::Tasks;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Policy, StreamKey};

const STALL: Duration = Duration::from_secs(30);

/// A stream with one entry, which no client has read yet.
fn stream() -> Arc<EventStream> {
    let key = StreamKey { route: "all".into(), path: "/a".to_owned(), shared: Vec::new(), origin: 0 };
    let stream = EventStream::new(key, Policy::default());
    let mut encoder = Encoder::new();
    encoder.comment("waiting");
    let at = std::time::Instant::now();
    let (id, source_id) = (EventId::default(), EventId::default());
    stream.publish([Entry { frame: encoder.finish(), id, source_id, kind: EntryKind::Control, at }]);
    stream
}

fn guarding(
    attention: &Arc<BodyProgress>,
    stream: Arc<EventStream>,
    tasks: &Tasks,
) -> impl Future<Output = ()> + use<> {
    let life = Lifetime::new(tasks.draining(), Duration::ZERO, 0.0);
    guard(life, Arc::downgrade(attention), stream, STALL, EndReasonCell::default())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_asked_for_waiting_events_is_ended() {
    let attention = Arc::new(BodyProgress::default());
    let since = Instant::now();

    guarding(&attention, stream(), &Tasks::default()).await;

    assert!(since.elapsed() >= STALL && since.elapsed() < 2 * STALL);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_read_all_may_wait_for_ever() {
    let attention = Arc::new(BodyProgress::default());
    attention.place.store(1, Ordering::Relaxed);

    let guarded = timeout(100 * STALL, guarding(&attention, stream(), &Tasks::default())).await;

    assert!(guarded.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_life_is_over_is_ended_after_the_grace() {
    let (attention, tasks) = (Arc::new(BodyProgress::default()), Tasks::default());
    let since = Instant::now();
    tasks.drain();

    guarding(&attention, stream(), &tasks).await;

    assert_eq!(since.elapsed().as_millis() / 10, GRACE.as_millis() / 10);
}

#[tokio::test(start_paused = true)]
async fn a_finished_body_is_not_ended_again_and_its_stream_not_held() {
    for is_draining in [false, true] {
        let (attention, stream, tasks) = (Arc::new(BodyProgress::default()), stream(), Tasks::default());
        let held = Arc::downgrade(&stream);
        let mut guarding = Box::pin(guarding(&attention, stream, &tasks));
        drop(attention);
        if is_draining {
            tasks.drain();
        }

        let guarded = timeout(100 * STALL, &mut guarding).await;

        assert!(guarded.is_err(), "the connection has other requests to serve");
        assert!(held.upgrade().is_none());
    }
}
