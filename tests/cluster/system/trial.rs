//! A trial: clients read six streams through three gateways while things fail, and everything is compared at its end.
//!
//! Always true: gaps are wrong too, since the producer can resume and proves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::faults::produce;
use super::history::{Figures, History, MintedIds};
use super::overlap::Overlap;
use super::reader::Reader;
use super::recorded_producer::{RecordedProducer, generator};
use super::site::Site;
use super::{report, setting};
use crate::support::client::{Client, Protocol};
use crate::support::nats::NatsCluster;
use crate::support::wait::{DEADLINE, eventually};

/// The streams. The ids of the last two are minted.
const PATHS: [&str; 6] = ["/a", "/b", "/c", "/d", "/minted/e", "/minted/f"];

/// The number of streams whose ids are the producer's.
const KEPT: usize = 4;

/// The time for all clients to catch up after the last failure.
const REST: Duration = Duration::from_secs(120);

/// The longest time for which a stream may have two upstream connections, of which one is read.
const LONGEST_OVERLAP: Duration = Duration::from_secs(10);

/// Clients that read while things fail.
pub struct Trial {
    pub site: Site,
    pub producer: Arc<RecordedProducer>,
    pub overlap: Overlap,
    pub seed: u64,
    name: &'static str,
    clients: u64,
    began: Instant,
    writing: JoinHandle<()>,
    last: watch::Sender<Option<u64>>,
    readers: JoinSet<(u64, Figures)>,
    minted: [Arc<MintedIds>; PATHS.len() - KEPT],
    /// The clients that have not finished, described.
    unfinished: BTreeMap<u64, String>,
}

impl Trial {
    /// Starts clients, half of them with HTTP/2, and a producer that writes all the time.
    pub async fn start(name: &'static str, engine: NatsCluster, clients: u64) -> Self {
        let seed = setting("RILLGATE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
        report(&format!("{name}: RILLGATE_SEED={seed}, {clients} clients"));
        let producer = Arc::new(RecordedProducer::start(seed).await);
        let site = Site::start_with(engine, &producer.url()).await;
        let (last, watched) = watch::channel(None);
        let mut readers = JoinSet::new();
        let (minted, mut unfinished) = (<[Arc<MintedIds>; PATHS.len() - KEPT]>::default(), BTreeMap::new());
        for number in 0..clients {
            let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
            let stream = usize::try_from(number / 2).unwrap() % PATHS.len();
            let history = match stream.checked_sub(KEPT) {
                Some(stream) => History::of_minted(seed, minted[stream].clone()),
                None => History::new(seed),
            };
            let client = Client::new(protocol, site.address());
            let reader = Reader::new(client, PATHS[stream], history, generator(seed ^ 0xC1, number));
            let watched = watched.clone();
            unfinished.insert(number, format!("{protocol:?} {}", PATHS[stream]));
            readers.spawn(async move { (number, reader.run(watched).await) });
        }
        // A stream that nobody has read yet begins where the producer is.
        eventually(DEADLINE, || async { producer.is_settled(PATHS.len()) }).await;
        let (began, overlap) = (Instant::now(), Overlap::watch(producer.clone()));
        let writing = tokio::spawn({
            let producer = producer.clone();
            async move { produce(&producer, generator(seed ^ 0xC4, 0)).await }
        });
        Self { site, producer, overlap, seed, name, clients, began, writing, last, readers, minted, unfinished }
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until all clients have everything, and checks what each of them has seen.
    pub async fn finish(mut self, what_failed: &str) {
        let (name, seed, producer, failing) = (self.name, self.seed, &self.producer, self.elapsed());
        self.writing.abort();
        // Before the last event is sent, each stream has one connection, which is not going to break.
        eventually(REST, || async {
            producer.write(1);
            producer.is_settled(PATHS.len())
        })
        .await;
        producer.write(1);
        self.last.send_replace(Some(producer.newest()));
        let mut figures = Figures::default();
        let rested = timeout(REST, async {
            while let Some(done) = self.readers.join_next().await {
                let (number, seen) = done.unwrap();
                self.unfinished.remove(&number);
                figures += seen;
            }
        });
        let rested = rested.await;

        let (longest, minted) = (self.overlap.longest(), self.minted.iter().map(|ids| ids.count()).sum::<usize>());
        report(&format!(
            "{name}: {what_failed} in {:.0} s; {} events written, {minted} ids minted, {} upstream connections, two of a \
             stream for {} ms at most",
            failing.as_secs_f64(),
            producer.newest(),
            producer.opened(),
            longest.as_millis()
        ));
        report(&format!("{name}: {figures}"));
        assert!(figures.is_right(), "seed {seed}: {figures}\n{}", figures.wrong.join("\n"));
        let reported = figures.reported.join("\n");
        assert_eq!(figures.gaps, 0, "seed {seed}: gaps told although nothing can be missing:\n{reported}");
        assert!(
            rested.is_ok(),
            "seed {seed}: these clients never got event {}: {:#?}",
            producer.newest(),
            self.unfinished
        );
        assert!(figures.events > 0 && figures.responses > self.clients, "{figures}");
        assert!(longest < LONGEST_OVERLAP, "two gateways read one stream for {longest:?}");
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.writing.abort();
    }
}
