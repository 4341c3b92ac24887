//! An owner that has been overtaken closes its upstream connection, also when the producer has nothing to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::TURN;
use super::recorded_producer::RecordedProducer;
use super::site::{LEASE, Site};
use crate::gateways::only_stream;
use crate::support::client::Client;
use crate::support::network::Network;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// The time within which a gateway whose lease is over has closed its upstream connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// The delay that a busy machine may add.
const SLACK: Duration = Duration::from_millis(800);

/// One stream that each gateway reads for a client. Its only event was long ago.
struct Quiet {
    site: Site,
    producer: Arc<RecordedProducer>,
    readers: Vec<Subscription>,
    owner: usize,
}

impl Quiet {
    async fn start() -> Self {
        let producer = Arc::new(RecordedProducer::start(7).await);
        let site = Site::start(&producer.url()).await;
        let mut readers = Vec::new();
        for node in &site.gateways {
            readers.push(Client::http1(node.gateway.address()).subscribe("/a", &[]).await);
        }
        eventually(DEADLINE, || async { producer.open() == 1 }).await;
        let owner = owner(&site).await;
        let mut quiet = Self { site, producer, readers, owner };
        for reader in &mut quiet.readers {
            assert_eq!(reader.next_event(DEADLINE).await.data, r#"{"resume":"live"}"#);
        }
        quiet.tells().await;
        quiet
    }

    /// Sends an event, which everyone gets next.
    async fn tells(&mut self) {
        self.producer.write(1);
        for reader in &mut self.readers {
            let event = reader.next_event(DEADLINE).await;
            assert_eq!(event.last_event_id, self.producer.newest().to_string(), "{event:?}");
        }
    }

    /// Waits until another gateway reads the upstream too.
    async fn is_overtaken(&self) {
        eventually(DEADLINE, || async { self.producer.open() == 2 }).await;
    }

    /// Waits until only one connection is left.
    async fn is_alone(&self) {
        eventually(DEADLINE, || async { self.producer.open() == 1 }).await;
    }
}

async fn owner(site: &Site) -> usize {
    loop {
        for (number, node) in site.gateways.iter().enumerate() {
            if only_stream(&node.gateway).await["role"] == "own" {
                return number;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_cut_off_closes_its_upstream_within_ten_seconds_of_its_lease() {
    let _turn = TURN.lock().await;
    let mut quiet = Quiet::start().await;

    let cut = Instant::now();
    quiet.site.gateways[quiet.owner].lines(Network::stall);
    quiet.is_overtaken().await;
    quiet.is_alone().await;
    assert!(cut.elapsed() < LEASE + CLOSED_WITHIN + SLACK, "{:?}", cut.elapsed());

    quiet.site.gateways[quiet.owner].lines(Network::resume);
    quiet.tells().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_believes_in_its_lease_closes_its_upstream_once_it_sees_the_next_one() {
    let _turn = TURN.lock().await;
    let mut quiet = Quiet::start().await;
    let number = quiet.owner;

    quiet.site.gateways[number].gateway.signal("STOP");
    let stopped = Instant::now();
    quiet.is_overtaken().await;
    // Long enough for the next owner's record to be no news in its beats.
    sleep(LEASE * 4).await;
    quiet.site.gateways[number].clock.hold(stopped.elapsed());
    quiet.site.gateways[number].gateway.signal("CONT");
    let continued = Instant::now();
    quiet.is_alone().await;

    assert!(continued.elapsed() < LEASE + SLACK, "{:?}", continued.elapsed());
    quiet.tells().await;
}
