//! A gateway drains: the responses of five thousand clients end between events, spread over time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::{TURN, report};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::load::{LONG, half_per_protocol, subscribe_all};
use crate::support::origin::{Emission, Origin};
use crate::support::setup::Setup;
use crate::support::wait::within;

const CLIENTS: usize = 5_000;
const SPREAD: Duration = Duration::from_secs(5);
const BINS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_of_five_thousand_clients_is_spread_and_ends_between_events() {
    let _turn = TURN.lock().await;
    let origin = Origin::start().await;
    let authority = Authority::new();
    let gateway = Setup::for_origin(&origin.url())
        .tls(&authority.server())
        .limits("connections_per_ip = 20000\nsubscriptions_per_ip = 20000")
        .server("drain = { notice = \"0s\", spread = \"5s\", deadline = \"30s\" }")
        .start()
        .await;
    let http1 = Client::http1(gateway.address()).tls(&authority);
    let http2 = Client::http2(gateway.address()).tls(&authority);
    let clients = subscribe_all("/a", half_per_protocol(&http1, &http2, CLIENTS)).await;
    let whole = "whole ".repeat(50);
    let data = whole.clone();
    let emitting = tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(200));
        for number in 1_usize.. {
            tick.tick().await;
            origin.emit(Emission::event(&number.to_string(), "", &data));
        }
    });
    let mut begun = JoinSet::new();
    for mut client in clients {
        begun.spawn(async move {
            let first: usize = client.next_event(LONG).await.last_event_id.parse().unwrap();
            (client, first)
        });
    }
    let begun = within(LONG, "an event for everyone", begun.join_all()).await;
    let mut reading = JoinSet::new();
    for (mut client, first) in begun {
        let whole = whole.clone();
        reading.spawn(async move {
            let events = client.expect_end(LONG).await;
            let left = Instant::now();
            for (number, event) in (first + 1..).zip(&events) {
                assert_eq!((&event.last_event_id, &event.data), (&number.to_string(), &whole));
            }
            assert!(!client.is_inside_event(), "half an event");
            assert_eq!(client.retries().len(), 2, "one in the prelude, one as farewell");
            left
        });
    }

    gateway.signal("TERM");
    let told = Instant::now();
    let left = within(LONG, "an end for everyone", reading.join_all()).await;
    let status = gateway.wait_exit(LONG).await;
    emitting.abort();

    let exited = told.elapsed();
    let mut bins = [0_usize; BINS];
    for moment in &left {
        let share = moment.saturating_duration_since(told).as_secs_f64() / SPREAD.as_secs_f64();
        bins[((share * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    report(&format!("departure: {CLIENTS} clients, spread {SPREAD:?}, exit after {:.1} s", exited.as_secs_f64()));
    for (bin, count) in bins.iter().enumerate() {
        let from = SPREAD.as_secs_f64() * bin as f64 / BINS as f64;
        report(&format!("departure: {from:4.1} s {count:5} {}", "#".repeat(count / 20)));
    }
    assert!(status.success(), "{status}");
    assert_eq!(left.len(), CLIENTS);
    assert!(bins.iter().filter(|&&count| count > 0).count() > BINS / 2, "all left together: {bins:?}");
}
