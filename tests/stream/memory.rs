//! Tests of the memory bound: which logs give memory back, and in which order.

use std::time::Duration;

use rillgate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLevel};
use rillgate::sse::{Event, EventId, Item};
use rillgate::stream::{Batch, Continuity, Policy, Retention, StreamLimit, Subscription};
use tokio::time::{Instant, sleep, timeout};

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
    fixture.set_memory(1600 * KIB);
    let (_one, unread) = filled(&fixture, "/unread", 40).await;
    let stream = unread.stream().clone();
    drop(unread);
    let (_two, read) = filled(&fixture, "/read", 40).await;
    assert_eq!((stream.log().events(), read.stream().log().events()), (40, 40));

    let (_three, more) = filled(&fixture, "/more", 40).await;

    assert_eq!(stream.log().events(), 0);
    assert_eq!((read.stream().log().events(), more.stream().log().events()), (40, 40));
    assert_eq!(fixture.streams.ledger().level(), MemoryLevel::Normal, "80 % are not reached any more");
}

#[tokio::test(start_paused = true)]
async fn logs_with_readers_lose_their_older_halves_until_the_bound_is_met() {
    let fixture = Fixture::new(Policy::default());
    fixture.set_memory(1440 * KIB);
    let mut open = Vec::new();
    for number in 0..9 {
        open.push(filled(&fixture, &format!("/{number}"), 40).await);
        assert!(fixture.streams.ledger().total() < 1440 * KIB);
    }

    for (upstream, reader) in &mut open {
        assert!(reader.stream().log().events() >= 1);
        upstream.send(batch(vec![Item::Event(large(40))])).expect("the stream listens");
        settled(reader, 41).await;
        assert!(fixture.streams.ledger().total() < 1440 * KIB);
        // The newest event is retained, and readers of evicted events are told how many they missed.
        assert_eq!(reader.stream().log().id_range().map(|(_, newest)| newest.to_string()), Some("40".to_owned()));
    }
    assert!(open[0].1.take(usize::MAX, u64::MAX).expect_err("fell off the log").missed > 0);
}

#[tokio::test(start_paused = true)]
async fn a_removed_log_is_no_longer_counted() {
    let fixture = Fixture::new(Policy { linger: Duration::ZERO, ..Policy::default() });
    let (upstream, reader) = filled(&fixture, "/a", 40).await;
    let full = fixture.streams.ledger().held(MemoryKind::Logs);
    assert!((400_000..500_000).contains(&full), "{full}");

    assert!(fixture.streams.ledger().held(MemoryKind::Streams) > 0);
    drop((upstream, reader));
    sleep(Duration::from_secs(60)).await;

    assert_eq!(fixture.streams.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn evicted_events_that_readers_hold_are_counted_once_until_they_are_dropped() {
    let policy = Policy { retention: Retention { events: 4, ..Retention::default() }, ..Policy::default() };
    let fixture = Fixture::new(policy);
    let upstream = fixture.upstream.will_open();
    let pinned = || {
        fixture.streams.reduce_memory();
        fixture.streams.ledger().held(MemoryKind::Pinned)
    };
    let mut readers = [fixture.subscribe(), fixture.subscribe()];
    readers[0].opened(false).await.expect("opened");
    upstream.send(batch(vec![Item::Event(large(0))])).expect("the stream listens");
    settled(&readers[0], 1).await;
    let held = readers.each_mut().map(|reader| reader.take(usize::MAX, u64::MAX).expect("it is retained"));
    assert_eq!(pinned(), 0, "the log has it");

    for number in 1..10 {
        upstream.send(batch(vec![Item::Event(large(number))])).expect("the stream listens");
        settled(&readers[0], number + 1).await;
    }

    let [one, other] = held;
    assert!((10_000..11_000).contains(&pinned()), "{}", pinned());
    drop(one);
    assert!(pinned() > 0);
    drop(other);
    assert_eq!(pinned(), 0);
}

#[tokio::test(start_paused = true)]
async fn evicted_events_that_no_reader_holds_are_not_counted() {
    let policy = Policy { retention: Retention { events: 1, ..Retention::default() }, ..Policy::default() };
    let fixture = Fixture::new(policy);
    let upstream = fixture.upstream.will_open();
    let mut reader = fixture.subscribe();
    reader.opened(false).await.expect("opened");

    upstream.send(batch((0..10).map(large).map(Item::Event).collect())).expect("the stream listens");
    settled(&reader, 10).await;

    assert_eq!(fixture.streams.ledger().held(MemoryKind::Pinned), 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_readers_have_dropped_make_no_log_give_way() {
    let policy = Policy { retention: Retention { events: 40, ..Retention::default() }, ..Policy::default() };
    let fixture = Fixture::new(policy);
    fixture.set_memory(1800 * KIB);
    let (_one, unread) = filled(&fixture, "/unread", 40).await;
    let stream = unread.stream().clone();
    drop(unread);
    let (two, mut read) = filled(&fixture, "/read", 40).await;
    let held = read.take(usize::MAX, u64::MAX).expect("it is retained");
    for number in 40..80 {
        two.send(batch(vec![Item::Event(large(number))])).expect("the stream listens");
    }
    settled(&read, 80).await;
    assert!(fixture.streams.ledger().held(MemoryKind::Pinned) > 400_000);

    drop(held);
    let _three = filled(&fixture, "/more", 40).await;

    assert_eq!(stream.log().events(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_retains_is_published_with_one_pause_however_much_it_is() {
    let policy = Policy { retention: Retention { events: 4, ..Retention::default() }, ..Policy::default() };
    let fixture = Fixture::new(policy);
    fixture.set_memory(10_000 * KIB);
    let event = |_| Item::Event(Event { data: "x".repeat(1 << 20), ..Event::default() });
    let _upstream = fixture.upstream.will_open_with((0..60).map(event).collect(), Continuity::Unknown);
    let mut reader = fixture.subscribe();
    // The more streams there are, the longer each has to wait.
    let _others: Vec<_> = (0..9)
        .map(|number| fixture.streams.subscribe(&key_of(&format!("/{number}")), || fixture.spec.clone()).expect("room"))
        .collect();
    let _held = MemoryCharge::new(fixture.streams.ledger(), MemoryKind::Http2, 9500 * KIB);

    let begun = Instant::now();
    reader.opened(false).await.expect("opened");

    assert!((2.0..7.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_window_of_a_connection_counts_while_its_stream_must_not_grow() {
    let fixture = Fixture::new(Policy::default());
    fixture.set_memory(10_000 * KIB);
    let (upstream, _reader) = filled(&fixture, "/a", 1).await;
    // The more streams there are, the longer each has to wait.
    let _others: Vec<_> = (0..9)
        .map(|number| fixture.streams.subscribe(&key_of(&format!("/{number}")), || fixture.spec.clone()).expect("room"))
        .collect();
    let _held = MemoryCharge::new(fixture.streams.ledger(), MemoryKind::Http2, 9500 * KIB);
    let reading = fixture.streams.ledger().held(MemoryKind::Streams);

    let event = Item::Event(Event { data: "x".repeat(1 << 20), ..Event::default() });
    upstream.send(Ok(Batch { items: vec![event], window: 65_536, ..Batch::default() })).expect("the stream listens");

    // The shortest pause is 150 ms.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(fixture.streams.ledger().held(MemoryKind::Streams), reading + 65_536);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(fixture.streams.ledger().held(MemoryKind::Streams), reading);
}

#[tokio::test(start_paused = true)]
async fn new_streams_are_refused_from_90_percent_on_and_open_ones_take_subscriptions() {
    let fixture = Fixture::new(Policy::default());
    fixture.set_memory(1000 * KIB);
    let (_upstream, _reader) = filled(&fixture, "/open", 1).await;
    let subscribe = |name| fixture.streams.subscribe(&key_of(name), || fixture.spec.clone()).map(|_| ());
    let held = MemoryCharge::new(fixture.streams.ledger(), MemoryKind::Http2, 900 * KIB);

    let refused = subscribe("/new");

    assert_eq!(refused, Err(StreamLimit::Memory));
    assert_eq!(subscribe("/open"), Ok(()));
    drop(held);
    assert_eq!(subscribe("/new"), Ok(()));
}
