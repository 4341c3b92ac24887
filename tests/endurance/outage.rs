//! The upstream is gone for half a minute, and ten thousand clients see only silence.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::recorded_producer::{self, RecordedProducer};
use super::{TURN, report, setting};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::load::{LONG, half_per_protocol, subscribe_all};
use crate::support::setup::Setup;
use crate::support::wait::{eventually, within};

const CLIENTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_clients_survive_an_upstream_outage_and_catch_up() {
    let _turn = TURN.lock().await;
    let away = Duration::from_secs(setting("RILLGATE_OUTAGE_SECONDS", 30));
    let seed = 1;
    let producer = Arc::new(RecordedProducer::start(seed).await);
    let authority = Authority::new();
    let gateway = Setup::for_origin(&producer.url())
        .tls(&authority.server())
        .limits("connections_per_ip = 20000\nsubscriptions_per_ip = 20000")
        .upstream("backoff = { max = \"5s\" }")
        .start()
        .await;
    let http1 = Client::http1(gateway.address()).tls(&authority);
    let http2 = Client::http2(gateway.address()).tls(&authority);
    let clients = subscribe_all("/a", half_per_protocol(&http1, &http2, CLIENTS)).await;
    assert_eq!(clients.len(), CLIENTS);
    producer.write(1);
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let mut arrived = Instant::now();
            // One event before the outage, one during it, one after it.
            for number in 1..=3 {
                assert_eq!(client.next_event(LONG).await, recorded_producer::event(seed, number));
                arrived = Instant::now();
            }
            arrived
        });
    }

    producer.leave(true);
    eventually(LONG, || async { producer.open() == 0 }).await;
    let attempts = producer.opened();
    producer.write(1);
    sleep(away).await;
    let attempts = producer.opened() - attempts;
    assert_eq!(metric(&gateway, "subscribers", &[]).await, CLIENTS as f64);
    assert_eq!(metric(&gateway, "subscriptions_ended_total", &[]).await, 0.0);
    producer.leave(false);
    eventually(LONG, || async { producer.open() == 1 }).await;
    let returned = Instant::now();
    producer.write(1);
    let arrived = within(LONG, "the last event for everyone", reading.join_all()).await;

    let last = arrived.into_iter().max().expect("clients");
    report(&format!(
        "outage: {CLIENTS} clients, upstream gone for {away:?}: none disconnected, {attempts} attempts; \
         all caught up {:.0} ms after it was back",
        last.saturating_duration_since(returned).as_secs_f64() * 1e3
    ));
    assert!((1..=40).contains(&attempts), "{attempts} attempts in {away:?}");
    assert_eq!(metric(&gateway, "subscriptions_total", &[]).await, CLIENTS as f64);
    assert_eq!(producer.open(), 1);
}
