//! Tests of streams through the public interface: opening, sharing, lingering and reconnecting. The upstream is a
//! channel.
//!
//! Time is paused in tests that depend on it. It advances when every task waits, so hours cost nothing and no test
//! depends on timing.

mod answers;
mod commit;
mod fixture;
mod history;
mod live_upstream;
mod made_up_keys;
mod memory;
mod panics;
mod policy;
mod progress;
mod publishing;
mod refusals;
mod retained;
mod storage;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use fixture::{Fixture, batch, emit, event, key_of, read, texts_of};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::StreamExt;
use rillgate::sse::{Event, EventId, Item};
use rillgate::stream::{
    Attempts, Continuity, EventSource, Gap, Lagged, OnEnd, OnGap, OpenError, OpenOutcome, Opened, Phase, Policy, Ready,
    ResumeVerdict, Retention, Start, StreamLimit,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_share_one_connection_and_read_all_events_in_order() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut readers: Vec<_> = (0..1000).map(|_| fixture.subscribe()).collect();

    let reading = join_all(readers.iter_mut().map(|reader| async move {
        reader.opened(false).await.expect("opened");
        read(reader, 100).await
    }));
    let emitting = async {
        for number in 0..100 {
            emit(&upstream, [number]);
            tokio::task::yield_now().await;
        }
    };
    let (seen, ()) = tokio::join!(reading, emitting);

    let expected = texts_of(0..100);
    assert_eq!(seen.len(), 1000);
    assert!(seen.iter().all(|seen| *seen == expected));
    assert_eq!(fixture.upstream.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_resumes_after_its_id_and_continues_with_live_events() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut first = fixture.subscribe();
    emit(&upstream, 1..=5);
    read(&mut first, 5).await;

    let mut second = fixture.subscribe();
    let verdict = second.resume("3", OnGap::Oldest);
    emit(&upstream, 6..=7);

    assert_eq!(verdict, ResumeVerdict::Resumed { missed: 2 });
    assert_eq!(read(&mut second, 4).await, texts_of(4..=7));
    assert_eq!(second.resume("never", OnGap::Live), ResumeVerdict::Gap(Gap::Unknown));
    assert!(!second.has_unread());
}

#[tokio::test(start_paused = true)]
async fn a_stream_survives_an_absence_within_its_linger_and_is_removed_after_it() {
    let fixture = Fixture::new(Policy { linger: Duration::from_secs(5), ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    fixture.subscribe().opened(false).await.expect("opened");

    // Each visit restarts the linger.
    for _ in 0..5 {
        sleep(Duration::from_secs(4)).await;
        assert!(fixture.is_open());
        drop(fixture.subscribe());
    }
    assert_eq!(fixture.upstream.opens(), 1);
    sleep(Duration::from_secs(11)).await;

    assert!(!fixture.is_open());
    assert!(upstream.is_closed(), "and its upstream connection with it");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_early_response_is_remembered_for_the_next_request() {
    let fixture = Fixture::new(Policy::default());
    fixture.upstream.will_refuse(OpenError::NotFound("404".to_owned()));
    let mut reader = fixture.subscribe();
    reader.stream().note_early_response();
    reader.opened(false).await.expect_err("refused");
    drop(reader);

    sleep(Duration::from_secs(29)).await;
    fixture.subscribe().opened(false).await.expect_err("remembered");
    sleep(Duration::from_secs(2)).await;
    assert!(!fixture.is_open());

    assert_eq!(fixture.upstream.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_down_holds_or_refuses_its_readers() {
    let fixture = Fixture::new(Policy::default());

    fixture.subscribe().opened(false).await.expect("held");
    let refused = fixture.subscribe().opened(true).await.expect_err("refused");

    assert!(refused.is_down());
}

#[tokio::test(start_paused = true)]
async fn a_stream_kept_open_needs_no_reader_and_retries_after_a_refusal() {
    let mut fixture = Fixture::new(Policy { linger: Duration::ZERO, ..Policy::default() });
    fixture.spec.attempts = Attempts::Unlimited;
    fixture.streams.keep_open([key_of("/a")].into());
    fixture.upstream.will_refuse(OpenError::NotFound("404".to_owned()));
    let upstream = fixture.upstream.will_open();
    drop(fixture.subscribe());

    sleep(Duration::from_secs(3600)).await;

    assert_eq!(fixture.upstream.opens(), 2);
    assert!(!upstream.is_closed());
    fixture.tasks.drain();
    assert_eq!(fixture.tasks.wait(Duration::from_secs(1)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_complete_stream_is_evicted_for_a_new_one() {
    let fixture = Fixture::new(Policy::default());
    for number in 0..10 {
        fixture.upstream.will_refuse(OpenError::Complete);
        let key = key_of(&format!("/done/{number}"));
        let mut reader = fixture.streams.subscribe(&key, || fixture.spec.clone()).expect("room");
        reader.opened(false).await.expect("complete, not refused");
        sleep(Duration::from_secs(1)).await;
    }
    let _upstream = fixture.upstream.will_open();

    let reader = fixture.subscribe();

    sleep(Duration::from_millis(1)).await;
    assert!(!fixture.streams.contains(&key_of("/done/0")), "the oldest goes");
    assert_eq!(fixture.tasks.count(), 10, "and its task with it");
    assert!(fixture.streams.contains(&key_of("/done/1")));
    assert_eq!(reader.stream().key(), &key_of("/a"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_readers_is_evicted_and_one_with_readers_is_not() {
    let fixture = Fixture::new(Policy::default());
    let mut readers = Vec::new();
    let mut upstreams = Vec::new();
    for number in 0..10 {
        upstreams.push(fixture.upstream.will_open());
        let key = key_of(&format!("/made-up/{number}"));
        readers.push(fixture.streams.subscribe(&key, || fixture.spec.clone()).expect("room"));
        readers[number].opened(false).await.expect("open");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(fixture.streams.subscribe(&key_of("/a"), || fixture.spec.clone()).is_err(), "all are read");

    readers.remove(3);
    let reader = fixture.subscribe();
    sleep(Duration::from_millis(1)).await;

    assert_eq!(reader.stream().key(), &key_of("/a"));
    assert!(!fixture.streams.contains(&key_of("/made-up/3")));
    assert!(upstreams[3].is_closed() && !upstreams[2].is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_no_longer_kept_open_is_removed_after_its_linger() {
    let fixture = Fixture::new(Policy { linger: Duration::from_secs(5), ..Policy::default() });
    fixture.streams.keep_open([key_of("/a")].into());
    let _upstream = fixture.upstream.will_open();
    drop(fixture.subscribe());
    sleep(Duration::from_secs(60)).await;
    assert!(fixture.is_open());

    fixture.streams.keep_open([].into());
    sleep(Duration::from_secs(6)).await;

    assert!(!fixture.is_open());
}

#[tokio::test(start_paused = true)]
async fn delays_grow_up_to_the_maximum() {
    let fixture = Fixture::new(Policy::default());
    let _reader = fixture.subscribe();

    sleep(Duration::from_secs(600)).await;

    let delays = fixture.upstream.delays();
    assert!(delays.len() > 20);
    for (failures, delay) in delays.into_iter().enumerate() {
        let bound = (0.5 * 2_f64.powi(failures.min(20) as i32)).min(30.0);
        assert!(delay >= bound * 0.099 && delay <= bound + 0.002, "{delay} after {failures} failures");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_resets_the_backoff() {
    let fixture = Fixture::new(Policy::default());
    for _ in 0..20 {
        fixture.upstream.will_refuse(OpenError::Unavailable { reason: "down".to_owned(), retry_after: None });
    }
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit(&upstream, [1]);
    read(&mut reader, 1).await;
    drop(upstream);

    sleep(Duration::from_secs(1)).await;

    let delays = fixture.upstream.delays();
    assert!(delays[20] <= 0.502, "{}", delays[20]);
    assert_eq!(fixture.upstream.asked_after(21), Some(EventId::new("1").expect("an id")));
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_retry_sets_the_first_delay_up_to_the_maximum() {
    for (said, least, most) in [(8, 0.8, 8.0), (3600, 3.0, 30.0)] {
        let fixture = Fixture::new(Policy::default());
        let upstream = fixture.upstream.will_open();
        let _reader = fixture.subscribe();
        upstream.send(batch(vec![Item::Retry(Duration::from_secs(said))])).expect("the stream listens");
        drop(upstream);

        sleep(Duration::from_secs(31)).await;

        let first = fixture.upstream.delays()[0];
        assert!(first >= least * 0.99 && first <= most + 0.002, "{first} after {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_zero_does_not_cause_a_busy_loop() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let _reader = fixture.subscribe();
    upstream.send(batch(vec![Item::Retry(Duration::ZERO)])).expect("the stream listens");
    drop(upstream);

    sleep(Duration::from_secs(60)).await;

    assert!(fixture.upstream.opens() < 60, "{}", fixture.upstream.opens());
}

#[tokio::test(start_paused = true)]
async fn a_complete_stream_is_kept_for_the_maximum_age_of_its_events() {
    let fixture = Fixture::new(Policy { on_end: OnEnd::Complete, ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit(&upstream, [1, 2]);
    drop(upstream);

    assert_eq!(read(&mut reader, 2).await, texts_of([1, 2]));
    assert_eq!(reader.ready().await, Ready::Complete);
    drop(reader);
    sleep(Duration::from_secs(599)).await;
    let mut late = fixture.subscribe();
    assert_eq!(late.stream().progress().phase, Phase::Complete);
    assert_eq!(late.start_at(Start::Oldest), ResumeVerdict::Replay { missed: 2 });
    assert_eq!(read(&mut late, 2).await, texts_of([1, 2]));
    sleep(Duration::from_secs(2)).await;

    assert!(!fixture.is_open());
    assert_eq!(fixture.upstream.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_off_the_log_is_told_how_much_it_missed() {
    let retention = Retention { events: 4, ..Retention::default() };
    let fixture = Fixture::new(Policy { retention, ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    let mut slow = fixture.subscribe();
    emit(&upstream, 1..=10);
    // A burst arrives in parts, and nothing reads them here.
    while slow.events_behind() < 10 {
        sleep(Duration::from_millis(1)).await;
    }

    assert_eq!(slow.take(usize::MAX, u64::MAX).err(), Some(Lagged { missed: 6 }));
    slow.skip_to_oldest();

    assert_eq!(read(&mut slow, 4).await, texts_of(7..=10));
    assert_eq!(slow.events_behind(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_unless_it_is_a_single_entry() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    let large = Event { data: "x".repeat(1 << 20), ..Event::default() };
    let small = || Item::Event(event(1));
    upstream.send(batch(vec![small(), small(), Item::Event(large), small()])).expect("the stream listens");
    reader.ready().await;

    let counts: Vec<_> = (0..3).map(|_| reader.take(16 * 1024, u64::MAX).expect("not lagged").frames.len()).collect();

    assert_eq!(counts, [2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_maximum_of_streams_is_opened() {
    let fixture = Fixture::new(Policy::default());
    let open = |path: &str| fixture.streams.subscribe(&key_of(path), || fixture.spec.clone());
    let held: Vec<_> = (0..10).map(|number| open(&format!("/{number}")).expect("room")).collect();

    assert_eq!(open("/one-more").err(), Some(StreamLimit::All));
    assert!(open("/0").is_ok(), "one that is open has room for any number");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_lingering_streams_at_once() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    fixture.subscribe().opened(false).await.expect("opened");
    let since = Instant::now();

    fixture.tasks.drain();

    assert_eq!(fixture.tasks.wait(Duration::from_secs(60)).await, 0);
    assert!(since.elapsed() < Duration::from_secs(1));
    assert!(upstream.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_reader_that_joins_during_removal_never_gets_a_dead_stream() {
    /// Sends one event on each connection and keeps it open.
    struct Greeting;
    impl EventSource for Greeting {
        fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
            let greeting = futures_util::stream::iter([batch(vec![Item::Event(event(1))])]);
            let items = greeting.chain(futures_util::stream::pending()).boxed();
            std::future::ready(Ok(OpenOutcome::Stream(Opened {
                retained: Vec::new(),
                items,
                continuity: Continuity::Unknown,
            })))
            .boxed()
        }
    }
    let mut fixture = Fixture::new(Policy { linger: Duration::ZERO, ..Policy::default() });
    fixture.spec.source = Arc::new(Greeting);
    let mut visitors = JoinSet::new();
    for _ in 0..8 {
        let fixture = fixture.clone();
        visitors.spawn(async move {
            for _ in 0..300 {
                let mut reader = fixture.subscribe();
                let greeted = timeout(Duration::from_secs(60), async {
                    reader.opened(false).await.expect("opened");
                    reader.start_at(Start::Oldest);
                    read(&mut reader, 1).await
                });
                assert_eq!(greeted.await.expect("a living stream"), texts_of([1]));
            }
        });
    }

    visitors.join_all().await;

    fixture.tasks.drain();
    assert_eq!(fixture.tasks.wait(Duration::from_secs(60)).await, 0);
    assert_eq!(fixture.tasks.panics().count(), 0);
    assert!(!fixture.is_open());
}
