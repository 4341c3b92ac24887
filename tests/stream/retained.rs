//! Tests of sources that have events when they are opened: these are in the log before the stream is live.

use std::time::Duration;

use rillgate::sse::Item;
use rillgate::stream::{Continuity, Gap, OnGap, OpenError, Phase, Policy, ResumeVerdict, Retention, Start};
use tokio::time::sleep;

use crate::fixture::{Fixture, batch, emit, event, read, texts_of};

fn items(numbers: impl IntoIterator<Item = usize>) -> Vec<Item> {
    numbers.into_iter().map(|number| Item::Event(event(number))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_reader_resumes_in_what_the_source_retains() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open_with(items(1..=5), Continuity::Unknown);
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");

    assert_eq!(reader.resume("3", OnGap::Live), ResumeVerdict::Resumed { missed: 2 });
    emit(&upstream, [6]);
    assert_eq!(read(&mut reader, 3).await, texts_of(4..=6));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_starts_live_gets_nothing_of_what_the_source_retains() {
    // The second log cannot hold it all.
    for events in [1000, 8] {
        let retention = Retention { events, ..Retention::default() };
        let fixture = Fixture::new(Policy { retention, ..Policy::default() });
        let upstream = fixture.upstream.will_open_with(items(1..=20), Continuity::Unknown);
        let (mut live, mut oldest) = (fixture.subscribe(), fixture.subscribe());
        live.opened(false).await.expect("opened");

        assert_eq!(live.start_at(Start::Live), ResumeVerdict::Live);
        let missed = events.min(20) as u64;
        assert_eq!(oldest.start_at(Start::Oldest), ResumeVerdict::Replay { missed });
        emit(&upstream, [21]);

        assert_eq!(read(&mut live, 1).await, texts_of([21]), "{events}");
        assert_eq!(live.events_behind(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_started_live_while_the_source_was_down_gets_nothing_of_what_it_retains() {
    for (failure, events) in [
        (OpenError::Unreachable("down".to_owned()), 1000),
        // More than one portion, so readers are woken before all of it is in the log.
        (OpenError::Unreachable("down".to_owned()), 40),
        // Its answer may have had events, so there is a gap.
        (OpenError::TimedOut(Duration::from_secs(1)), 40),
    ] {
        let retention = Retention { events, ..Retention::default() };
        let fixture = Fixture::new(Policy { retention, ..Policy::default() });
        fixture.upstream.will_refuse(failure.clone());
        let upstream = fixture.upstream.will_open_with(items(1..=30), Continuity::Unknown);
        let mut live = fixture.subscribe();
        live.opened(false).await.expect("it waits for the source");
        assert_eq!(live.start_at(Start::Live), ResumeVerdict::Live);
        #[expect(clippy::disallowed_methods, reason = "the test waits for its own task")]
        let reading = tokio::spawn(async move { (read(&mut live, 1).await, live) });
        sleep(Duration::from_secs(60)).await;

        emit(&upstream, [31]);

        let (mut seen, mut live) = reading.await.expect("no panic");
        if matches!(failure, OpenError::TimedOut(_)) {
            assert!(!seen.remove(0).contains("data"), "the gap");
        }
        if seen.is_empty() {
            seen = read(&mut live, 1).await;
        }
        assert_eq!(seen, texts_of([31]), "{failure} {events}");
        assert_eq!(live.events_behind(), 0);
        let mut resumed = fixture.subscribe();
        assert!(!matches!(resumed.resume("30", OnGap::Live), ResumeVerdict::Gap(Gap::Unknown)));
        assert_eq!(read(&mut resumed, 1).await.last(), texts_of([31]).last());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_a_live_stream_before_what_it_retains_is_in_the_log() {
    // More than one portion, so publishing takes several turns.
    let fixture =
        Fixture::new(Policy { retention: Retention { events: 40, ..Retention::default() }, ..Policy::default() });
    let _upstream = fixture.upstream.will_open_with(items(1..=40), Continuity::Unknown);
    let reader = fixture.subscribe();

    let mut turns = 0;
    while reader.stream().progress().phase == Phase::Opening {
        sleep(Duration::from_millis(1)).await;
        turns += 1;
    }

    assert!(turns > 2, "it took {turns} turns");
    assert_eq!(reader.stream().log().events(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_a_reconnected_source_retains_is_deduplicated_or_a_gap() {
    for (retained, expected, gap) in [(1..=4, vec![3, 4], false), (7..=8, vec![7, 8], true)] {
        let fixture = Fixture::new(Policy::default());
        drop(fixture.upstream.will_open_with(items(1..=2), Continuity::Unknown));
        let _again = fixture.upstream.will_open_with(items(retained), Continuity::Gap);
        let mut reader = fixture.subscribe();
        reader.opened(false).await.expect("opened");
        assert_eq!(reader.resume("2", OnGap::Live), ResumeVerdict::Resumed { missed: 0 });

        sleep(Duration::from_secs(60)).await;

        let mut late = fixture.subscribe();
        let told = late.resume("2", OnGap::Live);
        let told_gap = told == ResumeVerdict::Gap(Gap::Upstream);
        assert_eq!(told_gap, gap, "{told:?}");
        let seen = read(&mut reader, expected.len() + usize::from(gap)).await;
        assert!(seen.ends_with(&texts_of(expected)), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_retains_nothing_loses_nothing_that_comes_at_once() {
    let fixture = Fixture::new(Policy::default());
    let upstream = fixture.upstream.will_open();
    upstream.send(batch(items([1]))).expect("kept until it is opened");
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");
    sleep(Duration::from_millis(5)).await;

    reader.start_at(Start::Live);

    assert_eq!(read(&mut reader, 1).await, texts_of([1]));
}
