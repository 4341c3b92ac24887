//! Tests of a policy that a reload replaces: the open stream follows, with the connection that it has.

use std::time::Duration;

use rillgate::runtime::backoff::Backoff;
use rillgate::sse::Encoder;
use rillgate::stream::{
    Gap, Interrupted, Lagged, OnEnd, OnGap, Phase, Policy, ResumeVerdict, Retention, Start, VerdictForm,
};
use tokio::time::sleep;

use crate::fixture::{Fixture, Sender, emit, read, texts_of};

/// Replaces the policy of the fixture's streams as a reload does.
fn replace(fixture: &Fixture, change: impl FnOnce(&mut Policy)) {
    let mut policy = fixture.spec.policy.current();
    change(&mut policy);
    fixture.spec.policy.replace(policy);
    fixture.streams.apply_policies();
}

fn retention(events: usize) -> Retention {
    Retention { events, ..Retention::default() }
}

async fn emit_to_log(fixture: &Fixture, upstream: &Sender, numbers: std::ops::RangeInclusive<usize>) {
    let last = *numbers.end() as u64;
    emit(upstream, numbers);
    let stream = fixture.streams.list().remove(0);
    while stream.log().events_until(stream.log().end()) < last {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_retention_evicts_at_once_and_a_slow_reader_is_told() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    let mut slow = fixture.subscribe();
    emit_to_log(&fixture, &upstream, 1..=10).await;

    replace(&fixture, |policy| policy.retention = retention(4));

    assert_eq!(slow.take(usize::MAX, u64::MAX).err(), Some(Lagged { missed: 6 }));
    slow.skip_to_oldest();
    assert_eq!(read(&mut slow, 4).await, texts_of(7..=10));
    let mut late = fixture.subscribe();
    assert_eq!(late.resume("2", OnGap::Oldest), ResumeVerdict::Gap(Gap::Evicted));
    assert_eq!(fixture.upstream.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_larger_retention_keeps_more_from_then_on() {
    let fixture = Fixture::new(Policy { retention: retention(2), ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    emit_to_log(&fixture, &upstream, 1..=3).await;
    reader.skip_to_oldest();
    assert_eq!(read(&mut reader, 2).await, texts_of(2..=3));

    replace(&fixture, |policy| policy.retention = retention(5));
    emit_to_log(&fixture, &upstream, 4..=8).await;

    assert_eq!(read(&mut reader, 5).await, texts_of(4..=8), "the reader missed nothing");
    let mut late = fixture.subscribe();
    assert_eq!(late.start_at(Start::Oldest), ResumeVerdict::Replay { missed: 5 });
    assert_eq!(fixture.upstream.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_log_is_cut_to_one_event() {
    let fixture = Fixture::new(Policy { retention: retention(1_000_000), ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    let mut slow = fixture.subscribe();
    emit_to_log(&fixture, &upstream, 1..=20_000).await;

    replace(&fixture, |policy| policy.retention = retention(1));

    assert_eq!(slow.take(usize::MAX, u64::MAX).err(), Some(Lagged { missed: 19_999 }));
}

#[tokio::test(start_paused = true)]
async fn a_changed_linger_counts_for_a_stream_that_is_already_without_readers() {
    let fixture = Fixture::new(Policy { linger: Duration::from_secs(3600), ..Policy::default() });
    let upstream = fixture.upstream.will_open();
    fixture.subscribe().opened(false).await.expect("opened");
    sleep(Duration::from_secs(60)).await;

    replace(&fixture, |policy| policy.linger = Duration::from_secs(90));
    sleep(Duration::from_secs(29)).await;
    assert!(fixture.is_open(), "the linger began when the reader left");
    sleep(Duration::from_secs(2)).await;

    assert!(!fixture.is_open() && upstream.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_longer_linger_keeps_a_stream_that_is_already_without_readers() {
    let fixture = Fixture::new(Policy { linger: Duration::from_secs(5), ..Policy::default() });
    let _upstream = fixture.upstream.will_open();
    fixture.subscribe().opened(false).await.expect("opened");

    replace(&fixture, |policy| policy.linger = Duration::from_secs(100));
    sleep(Duration::from_secs(90)).await;

    assert!(fixture.is_open());
}

#[tokio::test(start_paused = true)]
async fn gaps_are_told_in_the_form_that_is_in_force() {
    let mut fixture = Fixture::new(Policy::default());
    fixture.spec.gap_notice = |form| match form {
        VerdictForm::Event => |_, _| Some(notice("event")),
        VerdictForm::Off | VerdictForm::Comment | VerdictForm::Gap => |_, _| Some(notice("comment")),
    };
    let upstreams = [(); 3].map(|()| fixture.upstream.will_open());
    let mut reader = fixture.subscribe();

    for (upstream, (number, told)) in upstreams.iter().zip([(1, ""), (2, ": event\n"), (3, ": comment\n")]) {
        emit(upstream, [number]);
        let expected: Vec<_> = [told.to_owned()].into_iter().filter(|told| !told.is_empty()).collect();
        assert_eq!(read(&mut reader, expected.len() + 1).await, [expected, texts_of([number])].concat());
        let form = if number == 1 { VerdictForm::Event } else { VerdictForm::Comment };
        replace(&fixture, |policy| policy.verdict = form);
        upstream.send(Err(Interrupted::Broken("cut".to_owned()))).expect("the stream listens");
    }
}

fn notice(form: &str) -> rillgate::sse::Frame {
    let mut encoder = Encoder::new();
    encoder.comment(form);
    encoder.finish()
}

#[tokio::test(start_paused = true)]
async fn a_changed_backoff_counts_for_an_attempt_that_is_already_awaited() {
    let backoff = |seconds| {
        let delay = Duration::from_secs(seconds);
        Backoff { initial: delay, max: delay }
    };
    let fixture = Fixture::new(Policy { backoff: backoff(36_000), ..Policy::default() });
    let reader = fixture.subscribe();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(fixture.upstream.opens(), 1, "a tenth of the delay has not passed");

    replace(&fixture, |policy| policy.backoff = backoff(1));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(fixture.upstream.opens(), 2, "the new delay has passed already");
    sleep(Duration::from_secs(100)).await;

    assert!((90..=1100).contains(&fixture.upstream.opens()), "{}", fixture.upstream.opens());
    assert!(matches!(reader.stream().progress().phase, Phase::Retrying(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_end_was_a_mistake_is_opened_again() {
    let fixture = Fixture::new(Policy { on_end: OnEnd::Complete, ..Policy::default() });
    drop(fixture.upstream.will_open());
    fixture.subscribe().opened(false).await.expect("opened");
    sleep(Duration::from_secs(1)).await;
    assert!(fixture.is_open(), "its end is remembered");

    replace(&fixture, |policy| policy.on_end = OnEnd::Reconnect);
    sleep(Duration::from_millis(1)).await;
    let _upstream = fixture.upstream.will_open();
    let _reader = fixture.subscribe();
    sleep(Duration::from_millis(1)).await;

    assert_eq!(fixture.upstream.opens(), 2);
}
