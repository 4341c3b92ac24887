//! Tests with upstreams that end or fail: the delay of the next attempt, and the gaps that clients are told of.

use std::time::Duration;

use rillgate::sse::Item;
use rillgate::stream::{Gap, Interrupted, OpenError, Policy, ResumeVerdict};
use tokio::time::sleep;

use crate::fixture::{Fixture, batch, emit, event, read, texts, texts_of};

fn fixture() -> Fixture {
    let mut fixture = Fixture::new(Policy::default());
    fixture.spec.gap_notice = |_| {
        |verdict: ResumeVerdict, _| {
            let mut encoder = rillgate::sse::Encoder::new();
            encoder.comment(&verdict.to_string());
            Some(encoder.finish())
        }
    };
    fixture
}

fn anonymous() -> Item {
    Item::Event(rillgate::sse::Event { id: None, ..event(1) })
}

#[tokio::test(start_paused = true)]
async fn clean_ends_without_new_ids_back_off() {
    // Events without ids, and events with the same id each time.
    for item in [anonymous(), Item::Event(event(1))] {
        let fixture = fixture();
        for _ in 0..200 {
            fixture.upstream.will_open().send(batch(vec![item.clone()])).expect("kept until it is opened");
        }
        let _reader = fixture.subscribe();

        sleep(Duration::from_secs(30)).await;

        let opens = fixture.upstream.opens();
        assert!((3..=25).contains(&opens), "{opens} requests in 30 s");
        assert!(fixture.upstream.delays().last().expect("several") > &0.5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_polled_producer_with_new_ids_does_not_back_off() {
    let fixture = fixture();
    for number in 0..400 {
        emit(&fixture.upstream.will_open(), [number]);
    }
    let _reader = fixture.subscribe();

    sleep(Duration::from_secs(60)).await;

    assert!(fixture.upstream.delays().iter().all(|delay| *delay <= 0.502), "{:?}", fixture.upstream.delays());
}

#[tokio::test(start_paused = true)]
async fn the_same_error_after_the_same_id_is_stuck_until_an_event_arrives() {
    let fixture = fixture();
    let broken = || Err(Interrupted::Broken("cut".to_owned()));
    let first = fixture.upstream.will_open();
    emit(&first, [1]);
    first.send(broken()).expect("open");
    fixture.upstream.will_open().send(broken()).expect("open");
    let mut reader = fixture.subscribe();
    read(&mut reader, 1).await;
    let stuck = || reader.stream().condition().is_stuck;
    assert!(!stuck());

    let good = fixture.upstream.will_open();
    sleep(Duration::from_millis(5)).await;
    while fixture.upstream.opens() < 3 {
        assert!(
            fixture.upstream.opens() < 2
                || stuck()
                || reader.stream().progress().phase == rillgate::stream::Phase::Live
        );
        sleep(Duration::from_millis(1)).await;
    }
    assert!(stuck(), "no event has come yet");
    emit(&good, [2]);
    sleep(Duration::from_millis(5)).await;

    assert!(!stuck());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_upstream_is_not_stuck() {
    let fixture = fixture();
    let reader = fixture.subscribe();

    sleep(Duration::from_secs(60)).await;

    assert!(fixture.upstream.opens() > 5 && !reader.stream().condition().is_stuck);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_lost_events_causes_a_gap() {
    let silent = OpenError::TimedOut(Duration::from_secs(60));
    let dropped = OpenError::ClosedEarly("closed".to_owned());
    let refused = OpenError::Unreachable("refused".to_owned());
    for (error, is_gap) in [(silent, true), (dropped, true), (refused, false)] {
        let fixture = fixture();
        fixture.upstream.will_refuse(error.clone());
        let upstream = fixture.upstream.will_open();
        let mut held = fixture.subscribe();
        held.opened(false).await.expect("held");

        sleep(Duration::from_secs(1)).await;
        let late = fixture.subscribe();
        emit(&upstream, [1]);

        let told = texts(&[{
            let mut encoder = rillgate::sse::Encoder::new();
            encoder.comment(&ResumeVerdict::Gap(Gap::Upstream).to_string());
            encoder.finish()
        }]);
        let expected = if is_gap { [told, texts_of([1])].concat() } else { texts_of([1]) };
        assert_eq!(read(&mut held, expected.len()).await, expected, "{error}");
        // A reader that subscribed after the connection was open has missed nothing.
        let mut late = late;
        assert_eq!(read(&mut late, 1).await, texts_of([1]), "{error}");
    }
}
