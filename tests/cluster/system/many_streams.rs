//! Thousands of streams on three gateways, of which one is killed.
//!
//!     RILLGATE_STREAMS=10000 cargo test --release --test cluster many_streams -- --nocapture

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::recorded_producer::RecordedProducer;
use super::site::{LEASE, Site};
use super::{report, setting};
use crate::support::client::{Client, Connection};
use crate::support::load::{LONG, request};
use crate::support::subscription::Subscription;
use crate::support::wait::{eventually, within};

/// Streams on one HTTP/2 connection.
const PER_CONNECTION: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_a_killed_gateway_are_owned_again() {
    let _turn = super::TURN.lock().await;
    let count = usize::try_from(setting("RILLGATE_STREAMS").unwrap_or(300)).unwrap();
    let producer = Arc::new(RecordedProducer::start(7).await);
    let site = Site::start(&producer.url()).await;
    producer.write(1);

    // The first reader of a stream makes its gateway the owner; the second one's gateway follows.
    let began = Instant::now();
    let mut owners = subscribe(&site, count, 0).await;
    eventually(LONG, || async { producer.open() == count }).await;
    let opened = began.elapsed();
    let mut followers = subscribe(&site, count, 1).await;
    // Without an event that has an id, the next owner could not prove that it missed none.
    producer.write(1);
    for (_, subscription) in owners.iter_mut().chain(&mut followers) {
        reaches(subscription, &producer).await;
    }
    let before = usage(&site);

    site.gateways[0].gateway.kill().await;
    let killed = Instant::now();
    let lost = count.div_ceil(3);
    eventually(LONG, || async { producer.opened() >= (count + lost) as u64 && producer.open() == count }).await;
    let taken = killed.elapsed();
    let after = usage(&site);

    report(&format!(
        "many streams: {count} opened in {:.1} s; {lost} of a killed gateway owned again after {:.2} s, lease {} s; \
         MiB and CPU seconds of gateways and engine: before {before:?}, after {after:?}",
        opened.as_secs_f64(),
        taken.as_secs_f64(),
        LEASE.as_secs()
    ));
    producer.write(1);
    // Of each stream a reader is left, and it goes on without a gap.
    for (_, subscription) in owners.iter_mut().chain(&mut followers).filter(|(gateway, _)| *gateway != 0) {
        reaches(subscription, &producer).await;
    }
}

/// Reads the newest event, and before it at most the verdict on a client without an id.
async fn reaches(subscription: &mut Subscription, producer: &RecordedProducer) {
    let mut event = subscription.next_event(LONG).await;
    if event.data == r#"{"resume":"live"}"# {
        event = subscription.next_event(LONG).await;
    }
    assert_eq!(event.last_event_id, producer.newest().to_string(), "{event:?}");
}

/// Subscribes to each stream on the gateway that its number and `shift` name.
async fn subscribe(site: &Site, count: usize, shift: usize) -> Vec<(usize, Subscription)> {
    let numbers: Vec<_> = (0..count).collect();
    let of_gateway = |gateway: usize| {
        let own: Vec<_> = numbers.iter().copied().filter(|number| (number + shift) % 3 == gateway).collect();
        own.chunks(PER_CONNECTION).map(|chunk| (gateway, chunk.to_vec())).collect::<Vec<_>>()
    };
    let connections: Vec<_> = (0..3).flat_map(of_gateway).collect();
    let opened = stream::iter(connections).map(|(gateway, numbers)| {
        let client = Client::http2(site.gateways[gateway].gateway.address());
        async move {
            let mut connection: Connection = within(LONG, "connection", client.connect()).await.unwrap();
            let mut subscriptions = Vec::new();
            for number in numbers {
                let subscription = request(&mut connection, &format!("/s{number}")).await;
                assert_eq!(subscription.status, 200, "/s{number} on gateway {gateway}");
                subscriptions.push((gateway, subscription));
            }
            subscriptions
        }
    });
    opened.buffer_unordered(12).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Resident MiB and CPU seconds so far, of the gateways and then of the engine's servers.
fn usage(site: &Site) -> Vec<(u64, u64)> {
    let gateways = site.gateways.iter().map(|node| node.gateway.id());
    gateways.chain(site.engine.servers.iter().map(|server| server.id())).map(usage_of).collect()
}

fn usage_of(id: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|field| fields.get(*field)?.parse::<u64>().ok()).sum();
    (kibibytes.unwrap_or(0) / 1024, Duration::from_millis(ticks * 10).as_secs())
}
