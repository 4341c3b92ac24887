//! A client that stops reading delays no other, takes little memory, is cut off in time, and is told of its gap.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::event_source::Event;
use crate::support::figures::{assert_grown_by_less_than, metric, resident, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually, within};

/// The number of events of this size that fill every buffer to a client that does not read.
const EVENTS: usize = 80;
const EVENT_BYTES: usize = 8 * 1024;

/// Small buffers, so that little is buffered in the client's kernel.
const RECEIVE_BUFFER: u32 = 4 * 1024;
const WINDOW: u32 = 16 * 1024;

fn emit(origin: &Origin, numbers: std::ops::Range<usize>) {
    for number in numbers {
        origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(EVENT_BYTES)));
    }
}

fn ids(events: &[Event]) -> Vec<usize> {
    events.iter().map(|event| event.last_event_id.parse().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_among_two_hundred_are_cut_off_and_delay_no_other() {
    let authority = Authority::new();
    let identity = authority.server();
    let origin = Origin::start().await;
    let encrypted = format!(
        "[[listeners]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}] }}",
        identity.chain.display(),
        identity.key.display()
    );
    let gateway = Setup::for_origin(&origin.url()).limits("stall_timeout = \"10s\"").after(&encrypted).start().await;
    let tls = gateway.listening().iter().find(|listening| listening.tls).expect("a listener with TLS").address;
    let clients = [Client::http1(gateway.address()), Client::http1(tls).tls(&authority)];
    let mut shared = Client::http2(tls).tls(&authority).window(WINDOW).connect().await.unwrap();
    let mut stalled = Vec::new();
    for client in &clients {
        stalled.push(client.clone().receive_buffer(RECEIVE_BUFFER).subscribe("/prices", &[]).await);
    }
    stalled.push(shared.subscribe("/prices", &[]).await);
    let mut readers: Vec<Subscription> =
        join_all((0..130).map(|number| clients[number % 2].subscribe("/prices", &[]))).await;
    for _ in 0..67 {
        readers.push(shared.subscribe("/prices", &[]).await);
    }
    wait_metric(&gateway, "subscribers", &[], 200.0).await;
    let before = resident(&gateway);
    let began = std::time::Instant::now();

    emit(&origin, 0..EVENTS);
    let received = join_all(readers.iter_mut().map(|reader| reader.next_events(EVENTS))).await;

    let took = began.elapsed();
    for events in &received {
        assert_eq!(ids(events), (0..EVENTS).collect::<Vec<_>>());
    }
    // The bound covers the event log and what the stalled clients hold.
    assert_grown_by_less_than(&gateway, before, 64);
    wait_metric(&gateway, "subscriptions_ended_total", &["reason=\"stalled\""], 3.0).await;
    assert_eq!(metric(&gateway, "subscriptions_ended_total", &[]).await, 3.0, "delivery took {took:?}");
    for subscription in &mut stalled {
        subscription.expect_cut(DEADLINE).await;
    }
    emit(&origin, EVENTS..EVENTS + 1);
    let after = join_all(readers.iter_mut().map(|reader| reader.next_events(1))).await;
    assert!(after.iter().all(|events| ids(events) == [EVENTS]));
}

#[tokio::test]
async fn lag_is_measured_for_clients_that_read_nothing() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).replay("events = 10000").start().await;
    let mut quick = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    let _stalled = Client::http2(gateway.address()).window(1).subscribe("/prices", &[]).await;

    for number in 0..1500 {
        origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(400)));
    }
    quick.next_events(1500).await;

    let behind_by_at_most =
        async |events: &str| metric(&gateway, "lag_events_bucket", &[&format!("le=\"{events}\"")]).await;
    eventually(DEADLINE, || async {
        behind_by_at_most("2000").await - behind_by_at_most("1000").await >= 1.0 && behind_by_at_most("1").await >= 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_client_that_returns_late_reads_the_end_of_its_response() {
    let stall_timeout = Duration::from_secs(1);
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("stall_timeout = \"1s\"").start().await;
    let client = Client::http1(gateway.address()).receive_buffer(RECEIVE_BUFFER);
    let mut connection = client.dial().await.unwrap();
    connection.write_all(b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    wait_metric(&gateway, "subscribers", &[], 1.0).await;

    emit(&origin, 0..EVENTS);
    wait_metric(&gateway, "subscriptions_ended_total", &["reason=\"stalled\""], 1.0).await;
    // The kernel gives up on a silent client after a time of its own, and does not tell the client.
    sleep(stall_timeout).await;

    let mut received = Vec::new();
    let read = within(DEADLINE, "end of the response", connection.read_to_end(&mut received)).await;
    assert!(read.is_ok(), "{read:?} after {} bytes", received.len());
    assert!(!received.ends_with(b"0\r\n\r\n"), "the response is cut off, not complete");
}

#[tokio::test]
async fn a_reader_with_nothing_to_read_is_not_stalled() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .limits("stall_timeout = \"300ms\"")
        .delivery("heartbeat = \"10m\"")
        .start()
        .await;
    let mut http1 = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    let mut http2 = Client::http2(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    crate::support::figures::watch_for(Duration::from_millis(1500)).await;
    emit(&origin, 1..2);

    assert_eq!(ids(&http1.next_events(1).await), [1]);
    assert_eq!(ids(&http2.next_events(1).await), [1]);
}

/// Starts a gateway and readers of each protocol that read nothing while another client gets all events.
async fn lagging(delivery: &str, verdict: &str) -> (Origin, crate::support::server::Rillgate, Vec<Subscription>) {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .replay(&format!("events = 5\nverdict = \"{verdict}\""))
        .delivery(delivery)
        .limits("stall_timeout = \"10m\"")
        .start()
        .await;
    let clients = [
        Client::http1(gateway.address()).receive_buffer(RECEIVE_BUFFER),
        Client::http2(gateway.address()).window(WINDOW),
    ];
    let mut behind = Vec::new();
    for client in &clients {
        behind.push(client.subscribe("/prices", &[]).await);
    }
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    // One at a time, so that the reader itself does not lag behind the short log.
    for number in 0..EVENTS {
        emit(&origin, number..number + 1);
        while reader.next_event(DEADLINE).await.last_event_id != number.to_string() {}
    }
    (origin, gateway, behind)
}

#[tokio::test]
async fn a_lagged_reader_is_disconnected_cleanly() {
    let (_origin, gateway, behind) = lagging("lagged = \"disconnect\"", "comment").await;

    for mut subscription in behind {
        let events = ids(&subscription.expect_end(DEADLINE).await);
        assert!(events.len() < EVENTS, "{events:?}");
        assert_eq!(events, (0..events.len()).collect::<Vec<_>>(), "events are missing before the end");
    }
    // A client may see the end before it is counted.
    wait_metric(&gateway, "subscriptions_ended_total", &["reason=\"lagged\""], 2.0).await;
    assert_eq!(metric(&gateway, "subscriptions_ended_total", &["reason=\"lagged\""]).await, 2.0);
}

#[tokio::test]
async fn a_lagged_reader_skips_with_a_gap() {
    let skip = "lagged = \"skip\"";
    // With `latest` a lagging client always skips.
    for (delivery, verdict) in [(skip, "comment"), (skip, "event"), ("latest = true", "event")] {
        let (origin, gateway, behind) = lagging(delivery, verdict).await;
        emit(&origin, EVENTS..EVENTS + 1);

        for mut subscription in behind {
            let mut events = Vec::new();
            while events.last().is_none_or(|event: &Event| event.last_event_id != EVENTS.to_string()) {
                events.push(subscription.next_event(DEADLINE).await);
            }
            let told: Vec<_> = events.iter().filter(|event| event.kind == "rillgate.resume").collect();
            if verdict == "event" {
                let gap = told.last().expect("a reported gap");
                assert_eq!(gap.data, r#"{"resume":"gap","reason":"lagged"}"#);
            } else {
                assert!(told.is_empty());
                subscription.next_comment("rillgate-resume: gap;reason=lagged", DEADLINE).await;
            }
            events.retain(|event| event.kind != "rillgate.resume");
            let ids = ids(&events);
            assert!(ids.is_sorted_by(|one, next| one < next) && ids.len() < EVENTS, "{ids:?}");
        }
        assert!(metric(&gateway, "gaps_total", &["reason=\"lagged\""]).await >= 2.0);
        assert_eq!(metric(&gateway, "subscriptions_ended_total", &["reason=\"lagged\""]).await, 0.0);
    }
}
