//! A thousand honest clients on two routes beside eight attackers and a hostile producer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::attackers::{Attackers, KINDS};
use super::hostile_producer::HostileProducer;
use super::{TURN, report, setting};
use crate::support::client::Client;
use crate::support::figures::resident;
use crate::support::load::{LONG, half_per_protocol, subscribe_all};
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::within;

const CLIENTS: usize = 1_000;

/// Events of each stream in a second.
const RATE: u64 = 4;

/// `limits.memory` in bytes, and what it may be exceeded by.
const MEMORY: u64 = 256 * 1024 * 1024;
const MEMORY_OVERSHOOT: u64 = 64 * 1024 * 1024;

/// The growth of resident memory from the second quarter of the run to the last that is the allocator's.
const MEMORY_DRIFT: u64 = 24 * 1024 * 1024;

/// The delay of events that a busy machine may cause.
const BUSY: u64 = 1_000;

/// The number of events by their delay in milliseconds, for each quarter of the run.
type Delays = [Vec<AtomicU64>; 4];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_notice_nothing_of_eight_attackers_and_a_hostile_producer() {
    let _turn = TURN.lock().await;
    let seconds = setting("RILLGATE_SOAK_SECONDS", 120).max(20);
    let events = seconds * RATE;
    let origin = Origin::start().await;
    let hostile = HostileProducer::start().await;
    let gateway = start(&origin, &hostile).await;
    let (http1, http2) = (Client::http1(gateway.address()), Client::http2(gateway.address()));
    let mut clients = subscribe_all("/a", half_per_protocol(&http1, &http2, CLIENTS / 2)).await;
    clients.extend(subscribe_all("/second/a", half_per_protocol(&http1, &http2, CLIENTS / 2)).await);
    assert_eq!(clients.len(), CLIENTS);
    let delays: Arc<Delays> = Arc::new(std::array::from_fn(|_| (0..60_000).map(|_| AtomicU64::new(0)).collect()));
    let mut samples: [Vec<u64>; 4] = std::array::from_fn(|_| Vec::new());

    let attackers = Attackers::start(gateway.address());
    let noise = http1.subscribe("/noise/a", &[]).await;
    assert_eq!(noise.status, 200);
    let began = Instant::now();
    let mut reading = JoinSet::new();
    for client in clients {
        reading.spawn(read(client, events, began, delays.clone()));
    }
    let mut tick = interval(Duration::from_millis(1_000 / RATE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut newcomers, mut highest) = (0, 0);
    for number in 0..events {
        tick.tick().await;
        origin.emit(Emission::event(&number.to_string(), "", &began.elapsed().as_millis().to_string()));
        let memory = resident(&gateway);
        highest = highest.max(memory);
        samples[quarter(number, events)].push(memory);
        if number % RATE == 0 {
            let path = format!("/second/newcomer-{}", number % 8);
            let newcomer = within(LONG, "response for a newcomer", http1.try_request("GET", &path, &[])).await;
            assert_eq!(newcomer.unwrap().status, 200, "event {number}");
            newcomers += 1;
        }
    }
    let read = within(LONG, "the last event for everyone", reading.join_all()).await;
    let acts = attackers.acts();
    drop((attackers, noise));

    let p99: Vec<u64> = delays.iter().map(|delays| percentile(delays, 99)).collect();
    let memory = samples.each_ref().map(|samples| samples.iter().sum::<u64>() / samples.len() as u64);
    report(&format!(
        "attacked: {seconds} s, {} events to {CLIENTS} clients, none lost or repeated; {newcomers} newcomers served; p99 in \
         ms by quarter {p99:?}; mean memory in MiB {:?}, highest {}; {} MiB of the hostile producer",
        read.iter().sum::<u64>(),
        memory.map(|bytes| bytes >> 20),
        highest >> 20,
        hostile.sent() >> 20
    ));
    for (kind, acts) in KINDS.iter().zip(&acts) {
        report(&format!("attacked: {acts} {kind}"));
    }
    assert!(acts.iter().all(|&acts| acts > 0), "an attacker did nothing: {acts:?}");
    assert!(hostile.sent() > 0, "the hostile producer sent nothing");
    assert!(p99[3] <= (3 * p99[1]).max(BUSY), "delays grow: {p99:?} ms");
    assert!(memory[3] <= memory[1] + MEMORY_DRIFT, "memory grows: {memory:?} bytes");
    assert!(highest <= MEMORY + MEMORY_OVERSHOOT, "{highest} bytes of memory");
}

async fn start(origin: &Origin, hostile: &HostileProducer) -> Rillgate {
    let routes = ["noise", "greeting"].map(|name| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}/{{key}}\"\nupstream = \"hostile\"\nauth = \"public\"\n\
             delivery = {{ linger = \"2s\" }}\n"
        )
    });
    let setup = Setup::for_origin(&origin.url()).limits(&format!("memory = \"{}MiB\"", MEMORY >> 20)).after(&format!(
        "[[routes]]\nname = \"second\"\npath = \"/second/{{name}}\"\nupstream = \"origin\"\nauth = \"public\"\n\
         delivery = {{ linger = \"1s\" }}\n\
         [upstreams.hostile]\nurls = [\"{}\"]\nbackoff = {{ max = \"1s\" }}\n{}\
         [upstreams.unreachable]\nurls = [\"http://127.0.0.1:1\"]\n\
         [[routes]]\nname = \"unreachable\"\npath = \"/unreachable/{{key}}\"\nupstream = \"unreachable\"\n\
         auth = \"public\"\n\
         [issuers.main]\nissuer = \"https://id.example.com/\"\naudience = [\"test\"]\n\
         keys = [{{ secret = {{ env = \"SOAK_SECRET\" }}, algorithm = \"HS256\" }}]\n\
         [[routes]]\nname = \"protected\"\npath = \"/protected/{{key}}\"\nupstream = \"origin\"\n\
         auth = {{ issuers = [\"main\"] }}\n",
        hostile.url(),
        routes.concat()
    ));
    let environment =
        [("SOAK_SECRET", "a secret of at least 32 characters"), ("RILLGATE_LOG", "error,rillgate::gateway=info")];
    Rillgate::start_with(&setup.toml(), &environment).await
}

/// Reads every event and returns their number.
///
/// # Panics
/// Panics if one is missing, repeated or late by [`LONG`], or if the response ends.
async fn read(mut client: Subscription, events: u64, began: Instant, delays: Arc<Delays>) -> u64 {
    for number in 0..events {
        let event = client.next_event(LONG).await;
        assert_eq!(event.last_event_id, number.to_string(), "lost or repeated");
        let sent: u64 = event.data.parse().unwrap();
        let delay = (began.elapsed().as_millis() as u64).saturating_sub(sent);
        let delays = &delays[quarter(number, events)];
        delays[(delay as usize).min(delays.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }
    events
}

fn quarter(number: u64, events: u64) -> usize {
    (number * 4 / events) as usize
}

/// Returns the delay that `share` percent of the events do not exceed, in milliseconds.
fn percentile(delays: &[AtomicU64], share: u64) -> u64 {
    let counts: Vec<u64> = delays.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let (wanted, mut seen) = (counts.iter().sum::<u64>() * share / 100, 0);
    let at = counts.iter().position(|count| {
        seen += count;
        seen > wanted
    });
    at.unwrap_or(0) as u64
}
