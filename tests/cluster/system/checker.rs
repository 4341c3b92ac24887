//! The checker: what each client has seen is compared with what the producer sent, and gaps are wrong too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::faults::{Faults, SHORT_RUN, is_over, pause, produce};
use super::history::{Figures, History};
use super::overlap::Overlap;
use super::reader::Reader;
use super::recorded_producer::{RecordedProducer, generator};
use super::site::Site;
use super::{TURN, report, setting};
use crate::support::client::{Client, Protocol};
use crate::support::wait::{DEADLINE, eventually};

const CLIENTS: u64 = 500;

/// The streams.
const PATHS: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/f"];

/// The time for all clients to catch up after the last failure.
const REST: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_told_wrongly_whatever_fails() {
    let _turn = TURN.lock().await;
    let seed = setting("RILLGATE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let (clients, seconds) = (setting("RILLGATE_CLIENTS").unwrap_or(CLIENTS), setting("RILLGATE_SECONDS"));
    report(&format!("cluster: RILLGATE_SEED={seed}, {clients} clients"));

    let producer = Arc::new(RecordedProducer::start(seed).await);
    let mut site = Site::start(&producer.url()).await;
    let (last, watched) = watch::channel(None);
    let mut readers = JoinSet::new();
    // Those that have not finished, described.
    let mut unfinished = BTreeMap::new();
    for number in 0..clients {
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        let path = PATHS[usize::try_from(number / 2).unwrap() % PATHS.len()];
        let client = Client::new(protocol, site.address());
        let reader = Reader::new(client, path, History::new(seed), generator(seed ^ 0xC1, number));
        let watched = watched.clone();
        unfinished.insert(number, format!("{protocol:?} {path}"));
        readers.spawn(async move { (number, reader.run(watched).await) });
    }
    // A stream that nobody has read yet begins where the producer is.
    eventually(DEADLINE, || async { producer.is_settled(PATHS.len()) }).await;

    let (began, overlap) = (Instant::now(), Overlap::watch(producer.clone()));
    let writing = tokio::spawn({
        let producer = producer.clone();
        async move { produce(&producer, generator(seed ^ 0xC4, 0)).await }
    });
    let rng = generator(seed ^ 0xC2, 0);
    let mut faults = Faults { site: &mut site, producer: &producer, overlap: &overlap, rng, made: BTreeMap::new() };
    let mut count = 0;
    while !is_over(began, seconds, count) {
        let fault = SHORT_RUN[count % SHORT_RUN.len()];
        faults.make(fault).await;
        pause(&mut faults.rng, fault).await;
        count += 1;
    }
    let (made, failing) = (faults.made, began.elapsed());
    writing.abort();
    // Before the last event is sent, each stream has one connection, which is not going to break.
    eventually(REST, || async {
        producer.write(1);
        producer.is_settled(PATHS.len())
    })
    .await;
    producer.write(1);
    last.send_replace(Some(producer.newest()));

    let mut figures = Figures::default();
    let rested = timeout(REST, async {
        while let Some(done) = readers.join_next().await {
            let (number, seen) = done.unwrap();
            unfinished.remove(&number);
            figures += seen;
        }
    });
    let rested = rested.await;

    report(&format!(
        "cluster: {count} failures in {:.0} s: {made:?}; {} events written, {} upstream connections, two of a stream for \
         {} ms at most",
        failing.as_secs_f64(),
        producer.newest(),
        producer.opened(),
        overlap.longest().as_millis()
    ));
    report(&format!("cluster: {figures}"));
    assert!(figures.is_right(), "seed {seed}: {figures}\n{}", figures.wrong.join("\n"));
    let reported = figures.reported.join("\n");
    assert_eq!(figures.gaps, 0, "seed {seed}: gaps told although nothing can be missing:\n{reported}");
    assert!(rested.is_ok(), "seed {seed}: these clients never got event {}: {unfinished:#?}", producer.newest());
    assert!(figures.events > 0 && figures.responses > clients, "{figures}");
    let longest = overlap.longest();
    assert!(longest < Duration::from_secs(11), "two gateways read one stream for {longest:?}");
}
