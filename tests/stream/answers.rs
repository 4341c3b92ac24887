//! Tests of upstreams that answer with something else than an event stream.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rillgate::sse::EventId;
use rillgate::stream::{
    CatchUpLimit, Gap, OpenError, Phase, Policy, ReadThrough, SourceAnswer, StreamObserver, Subscription,
};
use tokio::time::{sleep, timeout};

use crate::fixture::Fixture;

fn answer(status: u16, content_type: &str) -> SourceAnswer {
    let content_type = (!content_type.is_empty()).then(|| content_type.to_owned());
    SourceAnswer { status, content_type, retry_after: Some(Duration::from_secs(7)), content: None }
}

/// Counts connections, and records the results of requests for history.
#[derive(Default)]
struct Outcomes {
    connected: Mutex<Vec<Result<(), &'static str>>>,
    read_through: Mutex<Vec<&'static str>>,
}

impl StreamObserver for Outcomes {
    fn connected(&self, outcome: Result<(), &OpenError>) {
        self.connected.lock().push(outcome.map_err(OpenError::label));
    }
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
    fn read_through(&self, result: &'static str) {
        self.read_through.lock().push(result);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_first_attempt_refuses_its_readers_and_says_what_it_was() {
    for (answer, label, text) in [
        (answer(403, "text/html"), "wrong", "the upstream answered 403"),
        (answer(410, ""), "not_found", "the upstream answered 410"),
        (answer(429, ""), "busy", "the upstream answered 429"),
        (
            answer(200, "application/json"),
            "wrong",
            "the upstream's content type is \"application/json\", not text/event-stream",
        ),
        (answer(200, ""), "wrong", "the upstream's response has no content type"),
    ] {
        let (mut fixture, outcomes) = (Fixture::new(Policy::default()), Arc::new(Outcomes::default()));
        fixture.spec.observer = outcomes.clone();
        fixture.upstream.will_answer(answer);

        let refused = fixture.subscribe().opened(false).await.expect_err("it is no stream");

        assert_eq!((refused.label(), refused.to_string().as_str()), (label, text));
        assert_eq!(*outcomes.connected.lock(), [Err(label)]);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_an_open_stream_wait_as_long_as_an_answer_asks_for() {
    let fixture = Fixture::new(Policy::default());
    drop(fixture.upstream.will_open());
    fixture.upstream.will_answer(answer(503, "text/plain"));
    let _again = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");
    let phase = |reader: &Subscription| reader.stream().progress().phase;

    while !matches!(phase(&reader), Phase::Retrying(Some(_))) {
        sleep(Duration::from_millis(1)).await;
    }
    let error = phase(&reader).error();
    sleep(Duration::from_secs(20)).await;

    assert_eq!(error.as_deref(), Some("the upstream answered 503"));
    assert_eq!(phase(&reader), Phase::Live);
    assert!(fixture.upstream.delays()[1] >= 7.0, "{:?}", fixture.upstream.delays());
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_for_history_catches_nobody_up() {
    let fixture = Fixture::new(Policy::default());
    let _open = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");
    fixture.upstream.will_answer(answer(200, "application/json"));
    let (limit, outcomes) = (CatchUpLimit { events: 10, bytes: 1024, concurrent: 1 }, Arc::new(Outcomes::default()));
    let history = ReadThrough::new(limit, Duration::from_secs(60), outcomes.clone(), Arc::new(|| ()));

    let (tasks, after) = (&fixture.tasks, EventId::new("7").expect("an id"));
    let source = || fixture.spec.source.clone();
    let caught_up = history.catch_up(tasks, reader.stream(), &after, None, source);
    let caught_up = timeout(Duration::from_millis(500), caught_up).await.expect("it waits for nothing");

    assert!(caught_up.is_err());
    assert_eq!(*outcomes.read_through.lock(), ["refused"]);
}
