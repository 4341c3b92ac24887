//! A checker in the style of Jepsen: a producer with a known history, clients, failures for all of them, and at the end a
//! comparison of the events that each client has seen with those that it should have seen.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::history::{Figures, History};
use super::reader::Reader;
use super::recorded_producer::{RecordedProducer, generator};
use super::{TURN, report, setting};
use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol};
use crate::support::reserved_addr;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const CLIENTS: u64 = 500;

/// The time for all clients to catch up after the last failure.
const REST: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_complete_or_their_gaps_are_reported() {
    let _turn = TURN.lock().await;
    let seed = setting("RILLGATE_SEED", fastrand::u64(..1 << 32));
    let seconds = setting("RILLGATE_SECONDS", 60);
    report(&format!("histories: RILLGATE_SEED={seed} RILLGATE_SECONDS={seconds}"));

    let producer = RecordedProducer::start(seed).await;
    let authority = Authority::new();
    let identity = authority.server();
    let (plain, encrypted) = (reserved_addr::reserve(), reserved_addr::reserve());
    let store = tempfile::tempdir().unwrap();
    // One log keeps everything on disk; the other is small, in memory, and clients fall off it.
    let setup = Setup::for_origin(&producer.url())
        .upstream("backoff = { initial = \"10ms\", max = \"100ms\" }")
        .limits("stall_timeout = \"1s\"\nconnections_per_ip = 2000")
        .replay("events = 1000000\nbytes = \"512MiB\"\nage = \"2h\"\nverdict = \"event\"\nstore = \"disk\"")
        .after(&format!(
            "[store]\npath = \"{}\"\n\
             [[routes]]\nname = \"short\"\npath = \"/short/{{name}}\"\nupstream = \"origin\"\nauth = \"public\"\n\
             replay = {{ events = 300, verdict = \"event\" }}\n\
             [[listeners]]\nname = \"tls\"\naddress = \"{encrypted}\"\n\
             tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}] }}",
            store.path().display(),
            identity.chain.display(),
            identity.key.display()
        ));
    let toml = setup
        .toml()
        .replace("name = \"public\"\naddress = \"127.0.0.1:0\"", &format!("name = \"public\"\naddress = \"{plain}\""));
    let mut gateway = Rillgate::start(&toml).await;

    let (last, watched) = watch::channel(None);
    let mut readers = JoinSet::new();
    // Those that have not finished, described.
    let mut unfinished = BTreeMap::new();
    for number in 0..CLIENTS {
        let mut rng = generator(seed ^ 0xC1, number);
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        // Small buffers on the way, so that a stall has an effect.
        let client = Client::new(protocol, if rng.bool() { plain } else { encrypted }).window(16 * 1024);
        let client = if client.address() == encrypted { client.tls(&authority) } else { client };
        let client = if rng.bool() { client.receive_buffer(8 * 1024) } else { client };
        let transport = if client.address() == encrypted { "TLS" } else { "in the clear" };
        let path = if rng.u8(..4) == 0 { "/short/a" } else { "/a" };
        let reader = Reader::new(client, path, History::new(seed), rng);
        let watched = watched.clone();
        unfinished.insert(number, format!("{number}: {protocol:?}, {transport}, {path}"));
        readers.spawn(async move { (number, path, reader.run(watched).await) });
    }

    let misfortune = Misfortune { rng: generator(seed ^ 0xC2, 0), kills: 0, restarts: 0 };
    let misfortune = misfortune.strike(&producer, &mut gateway, Duration::from_secs(seconds)).await;
    producer.write(1);
    last.send_replace(Some(producer.newest()));
    let mut figures = [Figures::default(), Figures::default()];
    let rested = timeout(REST, async {
        while let Some(done) = readers.join_next().await {
            let (number, path, seen) = done.unwrap();
            unfinished.remove(&number);
            figures[usize::from(path != "/a")] += seen;
        }
    });
    let rested = rested.await;

    let Misfortune { kills, restarts, .. } = misfortune;
    report(&format!(
        "histories: {} events written, {} upstream connections, told to die {kills} times, gateway killed {restarts} times",
        producer.newest(),
        producer.opened()
    ));
    for (name, figures) in ["whole log", "short log"].iter().zip(&figures) {
        report(&format!("histories: {name}: {figures}"));
    }
    for figures in &figures {
        assert!(figures.is_right(), "seed {seed}: {figures}\n{}", figures.wrong.join("\n"));
        assert!(figures.events > 0 && figures.responses > 0, "{figures}");
    }
    // The producer proves that it resumes after any id, and a restart loses nothing of a log on disk.
    let reported = figures[0].reported.join("\n");
    assert_eq!(figures[0].gaps, 0, "seed {seed}: gaps told although nothing can be missing:\n{reported}");
    assert!(rested.is_ok(), "seed {seed}: these clients never got event {}: {unfinished:#?}", producer.newest());
}

struct Misfortune {
    rng: Rng,
    kills: u64,
    restarts: u64,
}

impl Misfortune {
    /// Sends events, breaks upstream connections every 200 ms, and kills the gateway now and then.
    async fn strike(mut self, producer: &RecordedProducer, gateway: &mut Rillgate, lasting: Duration) -> Self {
        let began = Instant::now();
        let mut restart_at = began + self.until_restart();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for beat in 1_u64.. {
            tick.tick().await;
            producer.write(self.rng.u64(..3));
            if self.rng.u8(..200) == 0 {
                producer.write(self.rng.u64(100..400));
            }
            if beat % 10 == 0 {
                producer.kill();
                self.kills += 1;
            }
            if Instant::now() > restart_at {
                gateway.restart().await;
                self.restarts += 1;
                restart_at = Instant::now() + self.until_restart();
            }
            if began.elapsed() > lasting {
                break;
            }
        }
        // Before the last event is sent, both streams have a connection that is not going to break.
        eventually(DEADLINE, || async {
            producer.write(1);
            producer.is_settled(2)
        })
        .await;
        self
    }

    fn until_restart(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(3_000..9_000))
    }
}
