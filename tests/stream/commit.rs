//! Tests of the step before the log: nothing is told before it is accepted, and nothing at all once it is refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rillgate::sse::Item;
use rillgate::stream::{Commit, Continuity, Entry, Fenced, OnEnd, OpenError, Phase, Policy, Ready, Start, StreamFeed};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::fixture::{Fixture, batch, emit, event, read, texts_of};

/// Answers when the test says so. Without an answer prepared, it accepts at once.
#[derive(Default)]
struct Engine {
    answers: Mutex<VecDeque<oneshot::Receiver<Result<(), Fenced>>>>,
    /// The ids of each call's entries.
    calls: Mutex<Vec<Vec<String>>>,
}

impl Engine {
    fn will_wait(&self) -> oneshot::Sender<Result<(), Fenced>> {
        let (sender, receiver) = oneshot::channel();
        self.answers.lock().push_back(receiver);
        sender
    }
}

impl Commit for Engine {
    fn commit<'c>(&'c self, entries: &'c [Entry]) -> BoxFuture<'c, Result<usize, Fenced>> {
        self.calls.lock().push(entries.iter().map(|entry| entry.id.as_str().to_owned()).collect());
        let answer = self.answers.lock().pop_front();
        async move {
            match answer {
                Some(answer) => answer.await.expect("the test answers").map(|()| entries.len()),
                None => Ok(entries.len()),
            }
        }
        .boxed()
    }
}

fn fixture(policy: Policy) -> (Fixture, Arc<Engine>) {
    let engine = Arc::new(Engine::default());
    let mut fixture = Fixture::new(policy);
    fixture.spec.feed = StreamFeed::Committed(engine.clone());
    (fixture, engine)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_it_is_accepted_and_what_gathers_meanwhile_is_one_batch() {
    let (fixture, engine) = fixture(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");
    reader.start_at(Start::Live);
    let answer = engine.will_wait();

    let retry = Item::Retry(Duration::from_secs(7));
    upstream.send(batch(vec![retry, Item::Event(event(1))])).expect("the stream listens");
    assert!(timeout(Duration::from_secs(60), reader.ready()).await.is_err(), "not accepted yet");
    assert_eq!(reader.stream().log().events(), 0);
    // Whoever stores the events stores the time with them.
    assert_eq!(reader.stream().progress().retry, Some(Duration::from_secs(7)));
    emit(&upstream, 2..=4);
    answer.send(Ok(())).expect("waited for");

    let seen = read(&mut reader, 5).await;
    assert!(seen.ends_with(&texts_of(1..=4)), "{seen:?}");
    assert_eq!(*engine.calls.lock(), [vec!["", "1"], vec!["2", "3", "4"]]);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_stream_ends_without_the_refused_batch_and_can_be_opened_again_after_a_second() {
    let (fixture, engine) = fixture(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit(&upstream, [1]);
    assert_eq!(read(&mut reader, 1).await, texts_of([1]));
    engine.will_wait().send(Err(Fenced)).expect("kept");

    emit(&upstream, 2..=3);

    assert_eq!(reader.ready().await, Ready::Refused);
    assert_eq!(reader.stream().log().events(), 1);
    sleep(Duration::from_millis(1)).await;
    assert!(upstream.is_closed(), "nothing feeds it any more");
    sleep(Duration::from_millis(900)).await;
    fixture.subscribe().opened(false).await.expect_err("remembered, or readers that return would open it at once");
    assert_eq!(fixture.upstream.opens(), 1);
    sleep(Duration::from_millis(200)).await;
    assert!(!fixture.is_open());
    let upstream = fixture.upstream.will_open();
    let mut next = fixture.subscribe();
    emit(&upstream, [2]);
    assert_eq!(read(&mut next, 1).await, texts_of([2]));
}

#[tokio::test(start_paused = true)]
async fn what_a_source_retains_and_the_mark_of_an_end_are_committed_too() {
    let (fixture, engine) = fixture(Policy { on_end: OnEnd::Complete, ..Policy::default() });
    let answer = engine.will_wait();
    let retained = vec![Item::Event(event(1)), Item::Event(rillgate::sse::Event { id: None, ..event(2) })];
    let upstream = fixture.upstream.will_open_with(retained, Continuity::Unknown);
    let mut reader = fixture.subscribe();

    assert!(timeout(Duration::from_secs(60), reader.opened(false)).await.is_err(), "not live before it is accepted");
    answer.send(Ok(())).expect("waited for");
    reader.opened(false).await.expect("opened");
    drop(upstream);
    while reader.stream().progress().phase != Phase::Complete {
        sleep(Duration::from_millis(1)).await;
    }

    let calls = engine.calls.lock().clone();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[0], ["1", "1"]);
    assert_eq!(calls[1].len(), 1, "the mark sets an id of its own: {calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_fenced_before_it_is_live_refuses_its_readers() {
    let (fixture, engine) = fixture(Policy::default());
    engine.will_wait().send(Err(Fenced)).expect("kept");
    let _upstream = fixture.upstream.will_open_with(vec![Item::Event(event(1))], Continuity::Unknown);

    let refused = fixture.subscribe().opened(false).await.expect_err("fenced");

    assert!(matches!(&*refused, OpenError::Unavailable { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "the stream is fed by another gateway");
}
