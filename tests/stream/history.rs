//! Requests for an upstream's history: how long they wait, and how often they are made again.

use std::sync::Arc;
use std::time::Duration;

use rillgate::sse::EventId;
use rillgate::stream::{CatchUpLimit, EventSource, Policy, ReadThrough, Subscription};
use tokio::time::Instant;

use crate::fixture::{Fixture, emit, read};

const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks for the history after the id 1 until `deadline`. Returns true if there is one.
async fn history(fixture: &Fixture, reader: &Subscription, deadline: Instant) -> bool {
    let limit = CatchUpLimit { events: 100, bytes: 1 << 20, concurrent: 4 };
    let read_through = ReadThrough::new(limit, OPEN_TIMEOUT, fixture.spec.observer.clone(), Arc::new(|| ()));
    let source: Arc<dyn EventSource> = Arc::new(fixture.upstream.clone());
    let after = EventId::new("1").expect("a digit");
    let stream = reader.stream();
    read_through.catch_up_when_connected(&fixture.tasks, stream, &after, None, &source, deadline).await.is_some()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_while_the_stream_is_connected_is_made_three_times() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit(&upstream, [5]);
    read(&mut reader, 1).await;
    let begun = Instant::now();

    assert!(!history(&fixture, &reader, begun + OPEN_TIMEOUT).await);

    assert_eq!(fixture.upstream.opens(), 1 + 3, "the stream's own and those for the history");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stays_away_is_awaited_until_the_deadline() {
    let fixture = Fixture::new(Policy::default());
    let reader = fixture.subscribe();
    let begun = Instant::now();

    assert!(!history(&fixture, &reader, begun + Duration::from_secs(10)).await);

    assert_eq!(begun.elapsed().as_secs(), 10);
}
