//! The change from replay to live delivery, a hundred thousand times.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::history::{Figures, History};
use super::recorded_producer::{RecordedProducer, generator};
use super::{TURN, report, setting};
use crate::support::client::{Client, Connection, Protocol};
use crate::support::load::LONG;
use crate::support::setup::Setup;
use crate::support::wait::within;

/// The number of clients that connect and disconnect concurrently.
const CLIENTS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_reconnects_lose_and_repeat_nothing() {
    let _turn = TURN.lock().await;
    let seed = setting("RILLGATE_SEED", fastrand::u64(..1 << 32));
    let cycles = setting("RILLGATE_CYCLES", 100_000);
    let producer = Arc::new(RecordedProducer::start(seed).await);
    let gateway = Setup::for_origin(&producer.url())
        .limits("connections_per_ip = 10000\nsubscriptions_per_ip = 20000\nresets_per_connection = 1000000")
        .replay("events = 1000000\nbytes = \"512MiB\"\nverdict = \"event\"")
        .start()
        .await;
    let began = Instant::now();
    let writer = producer.clone();
    let writing = tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            writer.write(1);
        }
    });

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        // Each client has its own address, because a single one runs out of ports.
        let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number).unwrap() + 1);
        let client = Client::new(protocol, gateway.address()).coming_from(source.into());
        clients.spawn(come_and_go(client, number, seed, cycles / CLIENTS));
    }
    let mut figures = Figures::default();
    while let Some(seen) = clients.join_next().await {
        figures += seen.unwrap();
    }
    writing.abort();

    report(&format!("returns: RILLGATE_SEED={seed}: {figures}, in {:.1} s", began.elapsed().as_secs_f64()));
    assert!(figures.is_right(), "seed {seed}: {figures}\n{}", figures.wrong.join("\n"));
    assert_eq!((figures.responses, figures.gaps), (cycles / CLIENTS * CLIENTS, 0));
    assert_eq!(producer.opened(), 1);
}

/// Subscribes, reads a few events or none, and disconnects in the middle of the stream.
async fn come_and_go(client: Client, number: u64, seed: u64, cycles: u64) -> Figures {
    let mut rng = generator(seed ^ 0xC3, number);
    let mut history = History::new(seed);
    let mut kept: Option<Connection> = None;
    for _ in 0..cycles {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => within(LONG, "connection", client.connect()).await.unwrap(),
        };
        let id = history.last_event_id().to_owned();
        let headers = [("last-event-id", id.as_str())];
        let headers = if id.is_empty() { &headers[..0] } else { &headers[..] };
        let asked = connection.try_request("GET", "/a", headers);
        let mut subscription = within(LONG, "response", asked).await.unwrap();
        history.figures.responses += 1;
        for _ in 0..rng.u8(..4) {
            let events = within(LONG, "events", subscription.events()).await.expect("a response that goes on");
            events.iter().for_each(|event| history.take(event));
        }
        kept = client.is_http2().then_some(connection);
    }
    history.figures
}
