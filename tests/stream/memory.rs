//! Tests of the memory bound of all logs together: which logs give memory back, and in which order.

use std::time::Duration;

use rillgate::sse::{Event, EventId, Item};
use rillgate::stream::{Policy, Subscription};
use tokio::time::{sleep, timeout};

use crate::fixture::{Fixture, Sender, batch, key_of};

const KIB: u64 = 1024;

fn large(number: usize) -> Event {
    Event { data: "x".repeat(10_000), id: EventId::new(number.to_string()).ok(), ..Event::default() }
}

/// Opens a stream and fills its log with events of about 10 KiB each.
async fn filled(fixture: &Fixture, name: &str, events: usize) -> (Sender, Subscription) {
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.streams.subscribe(&key_of(name), || fixture.spec.clone()).expect("room");
    reader.opened(false).await.expect("opened");
    for number in 0..events {
        upstream.send(batch(vec![Item::Event(large(number))])).expect("the stream listens");
    }
    settled(&reader, events).await;
    (upstream, reader)
}

async fn settled(reader: &Subscription, events: usize) {
    let log = || reader.stream().log().events_until(reader.stream().log().end());
    let all = async {
        while log() < events as u64 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), all).await.expect("all events are taken");
}

#[tokio::test(start_paused = true)]
async fn logs_without_readers_are_reduced_first() {
    let fixture = Fixture::new(Policy::default());
    fixture.set_memory(1000 * KIB);
    let (_one, unread) = filled(&fixture, "/unread", 40).await;
    let stream = unread.stream().clone();
    drop(unread);
    let (_two, read) = filled(&fixture, "/read", 40).await;
    assert_eq!((stream.log().events(), read.stream().log().events()), (40, 40));

    let (_three, more) = filled(&fixture, "/more", 40).await;

    assert_eq!(stream.log().events(), 0);
    assert_eq!((read.stream().log().events(), more.stream().log().events()), (40, 40));
    assert!(!fixture.streams.log_bytes().is_above());
}

#[tokio::test(start_paused = true)]
async fn logs_with_readers_lose_their_older_halves_until_the_bound_is_met() {
    let fixture = Fixture::new(Policy::default());
    fixture.set_memory(1000 * KIB);
    let mut open = Vec::new();
    for number in 0..9 {
        open.push(filled(&fixture, &format!("/{number}"), 40).await);
        assert!(fixture.streams.log_bytes().total() <= 1000 * KIB);
    }

    for (upstream, reader) in &mut open {
        assert!(reader.stream().log().events() >= 1);
        upstream.send(batch(vec![Item::Event(large(40))])).expect("the stream listens");
        settled(reader, 41).await;
        assert!(fixture.streams.log_bytes().total() <= 1000 * KIB);
        // The newest event is retained, and readers of evicted events are told how many they missed.
        assert_eq!(reader.stream().log().id_range().map(|(_, newest)| newest.to_string()), Some("40".to_owned()));
    }
    assert!(open[0].1.take(usize::MAX, u64::MAX).expect_err("fell off the log").missed > 0);
}

#[tokio::test(start_paused = true)]
async fn a_removed_log_is_no_longer_counted() {
    let fixture = Fixture::new(Policy { linger: Duration::ZERO, ..Policy::default() });
    let (upstream, reader) = filled(&fixture, "/a", 40).await;
    let full = fixture.streams.log_bytes().total();
    assert!((400_000..500_000).contains(&full), "{full}");

    drop((upstream, reader));
    sleep(Duration::from_secs(60)).await;

    assert_eq!(fixture.streams.log_bytes().total(), 0);
}
