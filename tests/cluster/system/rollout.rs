//! A rollout as the chart makes it: three gateways behind a balancer are replaced one by one, with its computed times.
//!
//!     RILLGATE_CLIENTS=2000 RILLGATE_SCALE=1 cargo test --test cluster rollout -- --nocapture     with the times as they are
//!
//! Always true: a gateway is told to end when its successor has been ready for `PAUSE`, as by a Deployment with `maxSurge: 1`
//! and `maxUnavailable: 0`. Half of the clients wait for `retry` as an event source does; the others fetch, and come back at
//! once. Times are divided by the scale, and so is the second in which reconnects are counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::history::{Figures, History};
use super::recorded_producer::RecordedProducer;
use super::site::{REPLAY, haproxy};
use super::{TURN, report, setting};
use crate::gateways::answer;
use crate::support::client::{Client, Protocol};
use crate::support::nats::NatsServer;
use crate::support::process::Process;
use crate::support::reserved_addr;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// `server.drain` of the chart's values, in seconds. `tests/deployments` compares these with the chart.
const NOTICE: u32 = 10;
const SPREAD: u32 = 20;
const DRAIN_DEADLINE: u32 = 30;

/// The chart's `terminationGracePeriodSeconds` and `minReadySeconds`.
const GRACE: u32 = 45;
const PAUSE: u32 = 30;

/// The part of the grace period that is for the exit.
const EXIT: Duration = Duration::from_secs((GRACE - NOTICE - DRAIN_DEADLINE) as u64);

/// The number of deliveries in a second.
const DELIVERIES: u32 = 10_000;

const CLIENTS: u64 = 200;
const SCALE: u64 = 20;
const GATEWAYS: usize = 3;
const PATHS: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/f"];

/// The time for all clients to catch up after the rollout.
const REST: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_and_repeat_nothing_while_gateways_are_replaced_one_by_one() {
    let _turn = TURN.lock().await;
    let clients = setting("RILLGATE_CLIENTS").unwrap_or(CLIENTS);
    let scale = u32::try_from(setting("RILLGATE_SCALE").unwrap_or(SCALE)).unwrap();
    let seed = setting("RILLGATE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    report(&format!("rollout: RILLGATE_SEED={seed}, {clients} clients, the chart's times by {scale}"));
    let producer = Arc::new(RecordedProducer::start(seed).await);
    let mut deployment = Deployment::start(&producer.url(), scale).await;
    let (last, watched) = watch::channel(None);
    let mut reading = JoinSet::new();
    for number in 0..clients {
        let reader = ReturningReader::new(number, seed, deployment.address);
        reading.spawn(reader.run(watched.clone()));
    }
    eventually(DEADLINE, || async { producer.is_settled(PATHS.len()) }).await;
    let writing = tokio::spawn({
        let producer = producer.clone();
        async move { write(&producer, clients).await }
    });
    eventually(DEADLINE, || async { deployment.readers().await == clients }).await;

    let began = Instant::now();
    let pausing = tokio::spawn(longest_pause(watched));
    let ended = deployment.replace_all().await;

    let took = began.elapsed();
    writing.abort();
    producer.write(1);
    last.send_replace(Some(producer.newest()));
    let mut read = Vec::new();
    let everybody = async {
        while let Some(seen) = reading.join_next().await {
            read.push(seen.unwrap());
        }
    };
    let rested = timeout(REST, everybody).await;
    assert!(rested.is_ok(), "seed {seed}: only {} clients got the last event", read.len());
    let mut figures = Figures::default();
    let mut by_second = BTreeMap::<u128, u64>::new();
    let mut moves = BTreeMap::<usize, u64>::new();
    for (seen, returns) in read {
        figures += seen;
        *moves.entry(returns.len()).or_default() += 1;
        for moment in returns {
            *by_second.entry((moment - began).as_nanos() * u128::from(scale) / 1_000_000_000).or_default() += 1;
        }
    }
    let pause = pausing.await.unwrap();
    let most = by_second.values().max().copied().unwrap_or(0);
    report(&format!("rollout: {:.1} s; {} events written; {figures}", took.as_secs_f64(), producer.newest()));
    report(&format!(
        "rollout: at most {most} of {clients} reconnects in a second; clients by reconnects: {moves:?}; longest pause {pause:?}"
    ));
    for (status, took) in ended {
        report(&format!("rollout: a gateway ended after {:.1} s", took.as_secs_f64()));
        assert!(status.success(), "{status}");
        // The time to exit is not scaled.
        let grace = Duration::from_secs((NOTICE + DRAIN_DEADLINE).into()) / scale + EXIT;
        assert!(took < grace, "killed after {took:?}");
    }
    assert!(
        figures.is_right() && figures.gaps == 0,
        "seed {seed}: {figures}\n{:?} {:?}",
        figures.wrong,
        figures.reported
    );
    assert_eq!(figures.refusals, 0, "seed {seed}: clients were sent where nobody serves them");
    // A machine that stood still wakes all at once.
    let stood_still = pause > Duration::from_secs(SPREAD.into()) / scale / 4;
    assert!(
        most * 3 <= clients || stood_still,
        "seed {seed}: {most} of {clients} came back in one second, longest pause {pause:?}: {by_second:?}"
    );
    assert!(figures.responses >= 2 * clients, "each client has moved: {moves:?}");
}

/// Writes events until it is stopped, as many as a build without optimisation delivers to all clients.
async fn write(producer: &RecordedProducer, clients: u64) {
    let mut tick = tokio::time::interval(Duration::from_secs(clients) / DELIVERIES);
    loop {
        tick.tick().await;
        producer.write(1);
    }
}

/// Returns the longest time for which this process was not run, until `last` has a value.
async fn longest_pause(mut last: watch::Receiver<Option<u64>>) -> Duration {
    let (mut longest, mut seen) = (Duration::ZERO, Instant::now());
    while timeout(Duration::from_millis(10), last.changed()).await.is_err() {
        longest = longest.max(seen.elapsed());
        seen = Instant::now();
    }
    longest
}

/// The gateways, with their engine and the balancer before them.
struct Deployment {
    address: SocketAddr,
    scale: u32,
    gateways: Vec<Rillgate>,
    /// Configurations of the gateways that replace them.
    successors: Vec<String>,
    _balancer: Process,
    _engine: NatsServer,
    _folder: tempfile::TempDir,
}

impl Deployment {
    async fn start(origin: &str, scale: u32) -> Self {
        let engine = NatsServer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("cluster.key");
        std::fs::write(&key, [b'k'; 32]).unwrap();
        let (mut configurations, mut servers) = (Vec::new(), String::new());
        for number in 0..2 * GATEWAYS {
            let (address, admin) = (reserved_addr::reserve(), reserved_addr::reserve());
            configurations.push(configuration(origin, &engine.url(), &key, scale, address, admin));
            let check = format!("check addr {} port {}", admin.ip(), admin.port());
            servers += &format!(" server g{number} {address} {check}\n");
        }
        let successors = configurations.split_off(GATEWAYS);
        let mut gateways = Vec::new();
        for configuration in configurations {
            gateways.push(started(&configuration).await);
        }
        let address = reserved_addr::reserve();
        // Two failed checks within `notice`, as with a readiness probe or a balancer of a cloud.
        let interval = NOTICE * 1000 / scale / 5;
        let text = format!(
            "global\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 1h\n timeout server 1h\n\
             listen gateways\n bind {address}\n balance leastconn\n option httpchk GET /readyz\n \
             default-server inter {interval}ms fall 2 rise 1\n{servers}"
        );
        let balancer = haproxy(&folder.path().join("haproxy.cfg"), &text);
        balancer.wait_listening(address).await;
        // It believes that servers are there until its first checks fail.
        for number in GATEWAYS..2 * GATEWAYS {
            balancer.wait_line(&format!("gateways/g{number} is DOWN"), DEADLINE).await;
        }
        Self { address, scale, gateways, successors, _balancer: balancer, _engine: engine, _folder: folder }
    }

    /// Replaces one gateway after the other. Returns how each old one ended, and the time from TERM to its end.
    async fn replace_all(&mut self) -> Vec<(ExitStatus, Duration)> {
        let mut ending = JoinSet::new();
        for successor in std::mem::take(&mut self.successors) {
            self.gateways.push(started(&successor).await);
            sleep(self.scaled(PAUSE)).await;
            let old = self.gateways.remove(0);
            old.signal("TERM");
            let told = Instant::now();
            let longest = self.scaled(GRACE) + EXIT;
            ending.spawn(async move { (old.wait_exit(longest).await, told.elapsed()) });
        }
        ending.join_all().await
    }

    fn scaled(&self, seconds: u32) -> Duration {
        Duration::from_secs(seconds.into()) / self.scale
    }

    /// Returns the number of subscriptions on all gateways.
    async fn readers(&self) -> u64 {
        let mut readers = 0;
        for gateway in &self.gateways {
            let page = answer(gateway, "/metrics").await.1;
            let lines = page.lines().filter(|line| line.starts_with("rillgate_subscribers{"));
            readers += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
        }
        readers
    }
}

async fn started(configuration: &str) -> Rillgate {
    let gateway = Rillgate::start_with(configuration, &[("RILLGATE_LOG", "info")]).await;
    eventually(DEADLINE, || async { answer(&gateway, "/readyz").await.0 == 200 }).await;
    gateway
}

fn configuration(origin: &str, engine: &str, key: &Path, scale: u32, address: SocketAddr, admin: SocketAddr) -> String {
    let [notice, spread, deadline] = [NOTICE, SPREAD, DRAIN_DEADLINE].map(|seconds| seconds * 1000 / scale);
    let setup = Setup::for_origin(origin)
        .server(&format!("drain = {{ notice = \"{notice}ms\", spread = \"{spread}ms\", deadline = \"{deadline}ms\" }}"))
        .limits("connections_per_ip = 5000\nsubscriptions_per_ip = 50000")
        .delivery(&format!("retry = \"{}ms\"", 2000 / scale))
        .replay(REPLAY)
        .after(&format!("[cluster]\nurls = [\"{engine}\"]\nkey = {{ file = \"{}\" }}\nreplicas = 1", key.display()));
    setup.toml_with_admin_at(address, admin)
}

/// A client that reads to the end of each response and comes back.
struct ReturningReader {
    client: Client,
    path: &'static str,
    waits_for_retry: bool,
    history: History,
    retry: Duration,
    returns: Vec<Instant>,
}

impl ReturningReader {
    fn new(number: u64, seed: u64, address: SocketAddr) -> Self {
        let protocol = if (number / 2).is_multiple_of(2) { Protocol::Http1 } else { Protocol::Http2 };
        Self {
            client: Client::new(protocol, address),
            path: PATHS[usize::try_from(number / 4).unwrap() % PATHS.len()],
            waits_for_retry: number.is_multiple_of(2),
            history: History::new(seed),
            retry: Duration::ZERO,
            returns: Vec::new(),
        }
    }

    /// Reads until it has the event in `last`. Returns the moments of its reconnects too.
    async fn run(mut self, mut last: watch::Receiver<Option<u64>>) -> (Figures, Vec<Instant>) {
        loop {
            if let Some(subscription) = self.subscribe().await {
                self.read(subscription, &mut last).await;
            }
            if self.has_all(&last) {
                return (self.history.figures, self.returns);
            }
            if self.waits_for_retry {
                sleep(self.retry).await;
            }
            self.returns.push(Instant::now());
        }
    }

    fn has_all(&self, last: &watch::Receiver<Option<u64>>) -> bool {
        last.borrow().is_some_and(|last| self.history.has_reached(last))
    }

    async fn subscribe(&mut self) -> Option<Subscription> {
        let id = self.history.last_event_id().to_owned();
        let headers = [("last-event-id", id.as_str())];
        let headers = if id.is_empty() { &headers[..0] } else { &headers[..] };
        match self.client.try_request("GET", self.path, headers).await {
            Ok(subscription) if subscription.status == 200 => {
                self.history.figures.responses += 1;
                Some(subscription)
            }
            _ => {
                self.history.figures.refusals += 1;
                None
            }
        }
    }

    async fn read(&mut self, mut subscription: Subscription, last: &mut watch::Receiver<Option<u64>>) {
        while !self.has_all(last) {
            tokio::select! {
                events = subscription.events() => match events {
                    Some(events) => events.iter().for_each(|event| self.history.take(event)),
                    None if subscription.is_inside_event() => {
                        self.history.figures.wrong.push("half an event".to_owned());
                        break;
                    }
                    None => break,
                },
                _ = last.changed() => {}
            }
        }
        self.retry = subscription.retries().last().copied().unwrap_or(self.retry);
    }
}
