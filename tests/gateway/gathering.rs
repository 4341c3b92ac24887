//! Routes with `gather`, which wait before they write, and with `latest`, which send lagging clients only the newest
//! events.

use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

const EVENTS: usize = 60;

/// Starts an origin and a gateway whose log has events of 4 KiB with the types `a`, `b` and `c` in turn.
async fn filled(delivery: &str) -> (Origin, crate::support::server::Rillgate) {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery(delivery).start().await;
    let reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    for number in 0..EVENTS {
        let data = format!("{number} {}", "x".repeat(4096));
        origin.emit(Emission::event(&number.to_string(), ["a", "b", "c"][number % 3], &data));
    }
    eventually(DEADLINE, || async {
        let mut all = Client::http1(gateway.address()).subscribe("/prices?follow=false", &[]).await;
        all.expect_end(DEADLINE).await.last().is_some_and(|event| event.last_event_id == "59")
    })
    .await;
    drop(reader);
    (origin, gateway)
}

#[tokio::test]
async fn ready_events_go_out_in_one_write_without_gather() {
    let origin = Origin::start().await;
    // With several workers, readers on other workers than the stream's could read between two events.
    let gateway = Setup::for_origin(&origin.url()).server("workers = 4").start().await;
    let [http1, http2] = both_protocols(&gateway, None);
    let mut readers = Vec::new();
    for client in [&http1, &http2].repeat(4) {
        readers.push(client.subscribe("/prices", &[]).await);
    }
    origin.wait_open(1).await;
    let (writes, events) = ("delivery_seconds_count", "events_delivered_total");

    // Each event is a chunk, and together they are one KiB, which the gateway receives in one read.
    origin.emit_together((0..EVENTS).map(|number| Emission::event(&number.to_string(), "", "x")));
    for reader in &mut readers {
        reader.next_events(EVENTS).await;
    }

    let expected = readers.len() as f64;
    wait_metric(&gateway, events, &[], expected * EVENTS as f64).await;
    wait_metric(&gateway, writes, &[], expected).await;
    assert_eq!(metric(&gateway, writes, &[]).await, expected, "writes of {EVENTS} events to {expected} readers");
}

#[tokio::test]
async fn a_burst_goes_out_in_one_write_with_gather() {
    const BURST: usize = 5;
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery("gather = \"5s\"").start().await;
    let mut readers = Vec::new();
    for client in both_protocols(&gateway, None) {
        readers.push(client.subscribe("/prices", &[]).await);
    }
    origin.wait_open(1).await;

    let from = Instant::now();
    for number in 0..BURST {
        origin.emit(Emission::event(&number.to_string(), "", "x"));
        // The gateway has each event before the next is emitted.
        eventually(DEADLINE, || async {
            let mut all = Client::http1(gateway.address()).subscribe("/prices?follow=false", &[]).await;
            all.expect_end(DEADLINE).await.len() == number + 1
        })
        .await;
    }
    let before = metric(&gateway, "delivery_seconds_count", &[]).await;
    assert!(from.elapsed() < Duration::from_secs(5), "the machine is too slow for this test");
    for reader in &mut readers {
        assert_eq!(reader.next_events(BURST).await.len(), BURST);
    }

    assert!(from.elapsed() >= Duration::from_secs(5));
    wait_metric(&gateway, "delivery_seconds_count", &[], before + readers.len() as f64).await;
}

#[tokio::test]
async fn gather_does_not_delay_waiting_events() {
    // Waiting before each piece of 16 KiB would take minutes.
    let (_origin, gateway) = filled("gather = \"10s\"").await;

    for client in both_protocols(&gateway, None) {
        let mut resumed = client.subscribe("/prices", &[("last-event-id", "0")]).await;

        let events = resumed.next_events(EVENTS - 4).await;

        assert!(events.iter().map(|event| event.last_event_id.parse::<usize>().unwrap()).eq(1..EVENTS - 3));
    }
}

#[tokio::test]
async fn a_lagging_client_gets_the_newest_of_each_type_up_to_its_limit() {
    let (_origin, gateway) = filled("latest = true").await;

    for client in both_protocols(&gateway, None) {
        let mut all = client.subscribe("/prices?limit=3", &[("last-event-id", "0")]).await;
        let mut two = client.subscribe("/prices?limit=2", &[("last-event-id", "0")]).await;

        let ids = |events: Vec<crate::support::event_source::Event>| -> Vec<String> {
            events.into_iter().map(|event| event.last_event_id).collect()
        };
        assert_eq!(ids(all.expect_end(DEADLINE).await), ["57", "58", "59"]);
        assert_eq!(ids(two.expect_end(DEADLINE).await), ["58", "59"]);
    }
}
