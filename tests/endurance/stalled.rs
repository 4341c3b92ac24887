//! One reader among a thousand stops reading: its cost, and its effect on the others.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::{TURN, report};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{metric, resident};
use crate::support::load::{LONG, half_per_protocol, subscribe_all};
use crate::support::origin::{Emission, Origin};
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;

const READERS: usize = 1_000;
/// Together far more than all buffers between the gateway and a client hold.
const EVENTS: usize = 100;
const EVENT_BYTES: usize = 2 * 1024;
/// `limits.send_buffer` and the bound of the log.
const SEND_BUFFER: u64 = 16 * 1024;
const LOG: u64 = 256 * 1024;
/// Allowance beyond the configured bounds: the allocator's pages and temporary buffers.
const SLACK: u64 = 4 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_costs_its_bound_and_delays_nobody() {
    let _turn = TURN.lock().await;
    let origin = Origin::start().await;
    let authority = Authority::new();
    let gateway = Setup::for_origin(&origin.url())
        .tls(&authority.server())
        .limits("connections_per_ip = 20000\nsubscriptions_per_ip = 20000\nsend_buffer = \"16KiB\"\nstall_timeout = \"10m\"")
        .replay("bytes = \"256KiB\"\nevents = 100000")
        .delivery("lagged = \"skip\"")
        .start()
        .await;
    let http1 = Client::http1(gateway.address()).tls(&authority);
    let http2 = Client::http2(gateway.address()).tls(&authority);
    let mut readers = subscribe_all("/a", half_per_protocol(&http1, &http2, READERS)).await;
    // The log is full and every buffer has been used before anything is measured.
    measure(&origin, &mut readers, 0).await;

    let without = measure(&origin, &mut readers, EVENTS).await;
    let before = resident(&gateway);
    let mut stalled = http1.clone().receive_buffer(4 * 1024).subscribe("/a", &[]).await;
    let with = measure(&origin, &mut readers, 2 * EVENTS).await;
    let grown = resident(&gateway).saturating_sub(before);

    report(&format!(
        "stalled: p50 / p99 of the others {:.1} / {:.1} ms without, {:.1} / {:.1} ms with a stalled reader",
        without.0, without.1, with.0, with.1
    ));
    report(&format!("stalled: memory grew by {} KiB; bound {} KiB", grown / 1024, (SEND_BUFFER + LOG) / 1024));
    assert!(grown < SEND_BUFFER + LOG + SLACK, "{grown} bytes");
    assert_eq!(metric(&gateway, "subscribers", &[]).await, READERS as f64 + 1.0);
    let seen = stalled.next_events(EVENTS).await;
    assert!(seen.iter().zip(2 * EVENTS..).all(|(event, number)| event.last_event_id == number.to_string()));
}

/// Emits events and returns the median and the 99th percentile of their delays, in milliseconds.
async fn measure(origin: &Origin, readers: &mut Vec<Subscription>, first: usize) -> (f64, f64) {
    let began = Instant::now();
    let mut reading = JoinSet::new();
    for mut reader in readers.drain(..) {
        reading.spawn(async move {
            let mut delays = Vec::with_capacity(EVENTS);
            for number in first..first + EVENTS {
                let event = reader.next_event(LONG).await;
                assert_eq!(event.last_event_id, number.to_string());
                let sent: u64 = event.data.split(' ').next().unwrap().parse().unwrap();
                delays.push(began.elapsed().saturating_sub(Duration::from_micros(sent)));
            }
            (reader, delays)
        });
    }
    let mut tick = interval(Duration::from_millis(100));
    for number in first..first + EVENTS {
        tick.tick().await;
        let data = format!("{} {}", began.elapsed().as_micros(), "x".repeat(EVENT_BYTES));
        origin.emit(Emission::event(&number.to_string(), "", &data));
    }
    let mut delays = Vec::new();
    while let Some(read) = reading.join_next().await {
        let (reader, some) = read.unwrap();
        readers.push(reader);
        delays.extend(some);
    }
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}
