//! Tests of the deadlines of a body, most of them of one that hyper carries.

use std::future::poll_fn;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::*;
use crate::http::delivery::fixture::DeliveryFixture;
use crate::listen::DEADLINE_INTERVAL;
use crate::runtime::tasks::Tasks;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Ids, LivePolicy, Policy, StreamIdentity, StreamKey};

const STALL: Duration = Duration::from_secs(30);

/// Returns a stream with one entry, which no client has read yet.
fn stream() -> Arc<EventStream> {
    let key = StreamKey {
        route: "all".into(),
        path: "/a".to_owned(),
        shared: Vec::new(),
        identity: StreamIdentity::default(),
    };
    let stream = EventStream::new(key, Ids::Keep, LivePolicy::new(Policy::default()));
    let mut encoder = Encoder::new();
    encoder.comment("waiting");
    let at = std::time::Instant::now();
    let (id, source_id) = (EventId::default(), EventId::default());
    stream.publish([Entry { frame: encoder.finish(), id, source_id, kind: EntryKind::Control, at }]);
    stream
}

fn deadlines(
    progress: &Arc<BodyProgress>,
    stream: Arc<EventStream>,
    tasks: &Tasks,
) -> impl Future<Output = ()> + use<> {
    let mut draining = tasks.draining();
    let ended = async move {
        draining.started().await;
        EndReason::Drain
    };
    enforce_deadlines(ended, Arc::downgrade(progress), stream, STALL, EndReasonCell::default())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_polled_while_events_wait_is_ended() {
    let progress = Arc::new(BodyProgress::default());
    let since = Instant::now();

    deadlines(&progress, stream(), &Tasks::default()).await;

    assert!(since.elapsed() >= STALL && since.elapsed() < 2 * STALL);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_read_everything_may_wait_forever() {
    let progress = Arc::new(BodyProgress::default());
    progress.offset.store(1, Ordering::Relaxed);

    let ended = timeout(100 * STALL, deadlines(&progress, stream(), &Tasks::default())).await;

    assert!(ended.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_lifetime_ended_is_dropped_after_the_grace() {
    let (progress, tasks) = (Arc::new(BodyProgress::default()), Tasks::default());
    let since = Instant::now();
    tasks.drain();

    deadlines(&progress, stream(), &tasks).await;

    assert_eq!(since.elapsed().as_millis() / 10, GRACE.as_millis() / 10);
}

#[tokio::test(start_paused = true)]
async fn a_finished_body_keeps_its_connection_and_releases_its_stream() {
    for is_draining in [false, true] {
        let (progress, stream, tasks) = (Arc::new(BodyProgress::default()), stream(), Tasks::default());
        let held = Arc::downgrade(&stream);
        let mut deadlines = Box::pin(deadlines(&progress, stream, &tasks));
        drop(progress);
        if is_draining {
            tasks.drain();
        }

        let ended = timeout(100 * STALL, &mut deadlines).await;

        assert!(ended.is_err(), "the connection has other requests to serve");
        assert!(held.upgrade().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_holds_an_evicted_event_of_a_quiet_stream_ends_while_memory_is_full() {
    let fixture = DeliveryFixture::new();
    let (delivery, end_reason) = fixture.delivery(std::future::pending().boxed());
    let mut body = EventBody::new(Bytes::from_static(b":\n"), delivery);
    fixture.publish(1000);
    for _ in 0..2 {
        body.frame().await.expect("the prelude and an event").expect("it goes on");
    }
    fixture.fill_memory();

    let cut_off = async {
        while poll_fn(|cx| Poll::Ready(body.poll_deadline(cx, false, STALL))).await.is_pending() {
            sleep(DEADLINE_INTERVAL).await;
        }
    };
    timeout(STALL, cut_off).await.expect("it is cut off");

    assert_eq!(end_reason.get(), Some(EndReason::Lagged));
}
