//! Tests with upstreams that panic, in place of any defect in an ingest or a request for history.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rillgate::sse::EventId;
use rillgate::stream::{
    CatchUpError, CatchUpLimit, EventSource, OpenError, OpenOutcome, Phase, Policy, ReadThrough, Start, StreamObserver,
};

use super::fixture::{Fixture, emit, read, texts_of};

struct Panics;

impl EventSource for Panics {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        Box::pin(async { panic!("for the test") })
    }
}

struct Unheard;

impl StreamObserver for Unheard {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: rillgate::stream::Gap) {}
    fn read_through(&self, result: &'static str) {
        assert_ne!(result, CatchUpError::EndedEarly.label());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_ingest_ends_its_readers_and_the_stream_can_be_reopened() {
    let mut fixture = Fixture::new(Policy::default());
    let good = std::mem::replace(&mut fixture.spec.source, Arc::new(Panics));
    let mut reader = fixture.subscribe();

    let refused = reader.opened(false).await.expect_err("it is told");

    assert_eq!(*refused, OpenError::Invalid("the gateway failed".to_owned()));
    assert!(matches!(reader.stream().progress().phase, Phase::Refused(_)));
    assert_eq!(fixture.tasks.panics().count(), 1);

    fixture.spec.source = good;
    let upstream = fixture.upstream.will_open();
    let mut next = fixture.subscribe();
    next.opened(false).await.expect("opened");
    next.start_at(Start::Oldest);
    emit(&upstream, [1]);
    assert_eq!(read(&mut next, 1).await, texts_of([1]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_catch_up_loses_only_the_history() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit(&upstream, 5..=6);
    read(&mut reader, 2).await;
    let limit = CatchUpLimit { events: 10, bytes: 1000, concurrent: 1 };
    let read_through = ReadThrough::new(limit, Duration::from_secs(10), Arc::new(Unheard), Arc::new(|| ()));
    let id = EventId::new("1").expect("an id");

    for panics in 1..=3 {
        let caught_up = read_through.catch_up(&fixture.tasks, reader.stream(), &id, None, || Arc::new(Panics)).await;

        assert!(caught_up.is_err());
        assert_eq!(fixture.tasks.panics().count(), panics, "its turn is given back");
    }
    emit(&upstream, [7]);
    assert_eq!(read(&mut reader, 1).await, texts_of([7]));
}
