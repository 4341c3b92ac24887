//! One run of a gateway in a schedule: the real registry of streams and the real part in a cluster, on a fake engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::ledger::Ledger;
use super::producer::{Producer, ProducerSource};
use crate::cluster::context::{ClusterContext, MAX_CLAIMS, RandomBits, RecentWrites};
use crate::cluster::engine::LogId;
use crate::cluster::fake::{FakeCluster, FakeEngine, Mutant, SeededRandom};
use crate::cluster::keys::ClusterKeys;
use crate::cluster::nodes::Nodes;
use crate::cluster::service::Cluster;
use crate::config::default_limits;
use crate::limits::Limits;
use crate::runtime::backoff::Backoff;
use crate::runtime::tasks::Tasks;
use crate::secret::Secret;
use crate::sse::Encoder;
use crate::stream::{
    Attempts, CatchUpLimit, EventSource, Gap, Ids, LivePolicy, LogStorage, OnEnd, OpenError, Policy, ReadThrough,
    Retention, StreamFeed, StreamIdentity, StreamKey, StreamObserver, StreamSpec, Streams, Subscription,
};

/// The state that all gateways of a schedule share.
pub(super) struct World {
    pub engine: FakeCluster,
    pub ledger: Ledger,
    pub producers: Vec<Arc<Producer>>,
    pub random: SeededRandom,
    pub lease: Duration,
    pub policy: Policy,
    pub mutant: Mutant,
    /// The number in [`KEYS`] of the keys that gateways have at first, if the key of the cluster is changed while the
    /// schedule runs.
    pub first_keys: Option<usize>,
    /// True if clients are caught up from the producer's own history.
    reads_through: bool,
    pub begun: Instant,
    runs: AtomicU64,
    /// The times at which runs were suspended.
    pub suspensions: Mutex<Vec<(u64, Instant, Instant)>>,
}

/// One run of a gateway.
pub(super) struct Gateway {
    pub world: Arc<World>,
    pub run: u64,
    /// The number of its connection to the engine.
    pub node: usize,
    pub tasks: Tasks,
    /// The number of its keys in [`KEYS`].
    pub keys: usize,
    /// Catches clients up.
    pub read_through: Option<ReadThrough>,
    streams: Streams,
    is_alive: watch::Sender<bool>,
    is_draining: watch::Sender<bool>,
}

struct Uncounted;

impl StreamObserver for Uncounted {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
}

impl World {
    pub(super) fn new(seed: u64, mutant: Mutant) -> Arc<Self> {
        let random = SeededRandom::new(seed);
        let engine = FakeCluster::new(random.bits());
        if mutant == Mutant::NoFence {
            engine.remove_fence();
        }
        let producers = (0..1 + random.below(3)).map(|_| Producer::new(SeededRandom::new(random.bits()))).collect();
        let default = Retention::default();
        let policy = Policy {
            storage: LogStorage::Cluster,
            on_end: if random.below(3) == 0 { OnEnd::Complete } else { OnEnd::Reconnect },
            retention: match random.below(4) {
                0 => Retention { events: 20 + random.below(40) as usize, ..default },
                1 => Retention { bytes: 1000 + random.below(4000) as usize, ..default },
                _ => default,
            },
            linger: random.pause(1000, 20_000),
            backoff: Backoff { initial: Duration::from_millis(200), max: Duration::from_secs(3) },
            ..Policy::default()
        };
        let lease = random.pause(1000, 4000);
        // The names of logs change with the second step, which few schedules would reach that begin with the first.
        let first_keys = (random.below(4) == 0).then(|| random.below(2) as usize);
        // Not both: a client with an id of the log's old name may be ahead of a new one that is still empty. It is caught up with
        // nothing, and then gets again what the new owner has read and not stored yet (seed 1224 showed it once in 60 runs).
        let reads_through = random.below(4) == 0 && first_keys.is_none();
        Self::with(engine, producers, lease, random, policy, mutant, (first_keys, reads_through))
    }

    /// Creates a world with a producer and an engine without faults.
    pub(super) fn faultless(seed: u64, lease: Duration) -> Arc<Self> {
        let random = SeededRandom::new(seed);
        let engine = FakeCluster::new(random.bits());
        let producers = vec![Producer::faultless(SeededRandom::new(random.bits()))];
        let policy = Policy { storage: LogStorage::Cluster, ..Policy::default() };
        Self::with(engine, producers, lease, random, policy, Mutant::None, (None, false))
    }

    fn with(
        engine: FakeCluster,
        producers: Vec<Arc<Producer>>,
        lease: Duration,
        random: SeededRandom,
        policy: Policy,
        mutant: Mutant,
        (first_keys, reads_through): (Option<usize>, bool),
    ) -> Arc<Self> {
        Arc::new(Self {
            ledger: Ledger::new(engine.clone(), keys(1)),
            engine,
            producers,
            lease,
            random,
            policy,
            mutant,
            first_keys,
            reads_through,
            begun: Instant::now(),
            runs: AtomicU64::new(0),
            suspensions: Mutex::default(),
        })
    }

    /// As [`Self::new`], with streams that end.
    pub(super) fn of_answers(seed: u64) -> Arc<Self> {
        let mut world = Arc::into_inner(Self::new(seed, Mutant::None)).expect("nobody else has it");
        world.policy.on_end = OnEnd::Complete;
        world.policy.retention = Retention::default();
        Arc::new(world)
    }

    pub(super) fn key(stream: usize) -> StreamKey {
        let identity = StreamIdentity([u8::try_from(stream).expect("few streams"); 32]);
        StreamKey { route: "all".into(), path: format!("/{stream}"), shared: Vec::new(), identity }
    }
}

impl Gateway {
    /// Starts a gateway with these of [`KEYS`].
    pub(super) fn start(world: &Arc<World>, keys_number: usize) -> Arc<Self> {
        let run = world.runs.fetch_add(1, Ordering::Relaxed);
        let tasks = Tasks::default();
        let engine: FakeEngine = world.engine.node();
        let node = engine.number();
        let bits = SeededRandom::new(world.random.bits());
        let random = RandomBits::new(move || bits.bits());
        let context = ClusterContext {
            engine: Arc::new(engine),
            keys: keys(keys_number),
            nodes: Nodes::new(format!("run-{run}"), world.lease),
            observer: Arc::new(()),
            claims: Semaphore::new(MAX_CLAIMS),
            written: RecentWrites::default(),
            tasks: tasks.clone(),
            random,
            mutant: world.mutant,
        };
        let cluster = Cluster::start_with(context, format!("host-{run}"));
        let limits = Arc::new(ArcSwap::from_pointee(LIMITS.clone()));
        let streams = Streams::new(limits, None, tasks.clone()).with_shared_logs(cluster);
        let is_alive = watch::channel(true).0;
        Arc::new(Self {
            world: world.clone(),
            run,
            node,
            tasks,
            keys: keys_number,
            read_through: world
                .reads_through
                .then(|| ReadThrough::new(CATCH_UP_LIMIT, OPEN_TIMEOUT, Arc::new(Uncounted), Arc::new(|| ()))),
            streams,
            is_alive,
            is_draining: watch::channel(false).0,
        })
    }

    /// Subscribes to a stream of its producer.
    pub(super) fn subscribe(&self, stream: usize) -> Option<Subscription> {
        let producer = self.world.producers[stream].clone();
        let attempts = if producer.is_always_open { Attempts::Unlimited } else { Attempts::UntilRefused };
        let ids = producer.ids;
        let reader = Some((self.run, KEYS[self.keys][0].into()));
        self.subscribe_to(stream, ids, attempts, Arc::new(ProducerSource { producer, reader }))
    }

    /// Subscribes to a stream, which has this source if it is opened.
    pub(super) fn subscribe_to(
        &self,
        stream: usize,
        ids: Ids,
        attempts: Attempts,
        source: Arc<dyn EventSource>,
    ) -> Option<Subscription> {
        let spec = || StreamSpec {
            ids,
            policy: LivePolicy::new(self.world.policy),
            source,
            feed: StreamFeed::Alone,
            gap_notice: |_| {
                |verdict, _| {
                    let mut encoder = Encoder::new();
                    encoder.comment(&verdict.to_string()).blank_line();
                    Some(encoder.finish())
                }
            },
            attempts,
            request: None,
            observer: Arc::new(Uncounted),
        };
        self.streams.subscribe(&World::key(stream), spec).ok()
    }

    /// Returns the name of a stream's log.
    pub(super) fn log(&self, stream: usize) -> LogId {
        keys(self.keys).log_id(&World::key(stream).identity)
    }

    /// Returns the source of a stream's history.
    pub(super) fn history(&self, stream: usize) -> Arc<dyn EventSource> {
        Arc::new(ProducerSource { producer: self.world.producers[stream].clone(), reader: None })
    }

    /// Ends the run without a word to anybody.
    pub(super) fn kill(&self) {
        self.tasks.suspension().set(true);
        self.world.engine.kill(self.node);
        self.world.producers.iter().for_each(|producer| producer.close(self.run));
        self.is_alive.send_replace(false);
    }

    /// Completes when the run has ended.
    pub(super) async fn ended(&self) {
        let _ = self.is_alive.subscribe().wait_for(|is_alive| !is_alive).await;
    }

    pub(super) fn is_alive(&self) -> bool {
        *self.is_alive.borrow()
    }

    /// Begins to drain.
    pub(super) fn drain(&self) {
        self.is_draining.send_replace(true);
        self.tasks.drain();
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.is_draining.borrow()
    }

    /// Completes when the run has begun to drain.
    pub(super) async fn draining(&self) {
        let _ = self.is_draining.subscribe().wait_for(|is_draining| *is_draining).await;
    }

    /// Stops all of its tasks, or continues them.
    pub(super) fn suspend(&self, is_suspended: bool) {
        self.tasks.suspension().set(is_suspended);
    }
}

/// The default limits.
static LIMITS: LazyLock<Limits> = LazyLock::new(default_limits);

/// Returns the keys with this number in [`KEYS`].
fn keys(number: usize) -> ClusterKeys {
    let secrets: Vec<_> = KEYS[number].iter().map(|byte| Secret::new([*byte; 32])).collect();
    ClusterKeys::new(&secrets)
}

/// The keys of the gateways, one after the other while the key of the cluster is changed. The first of them names logs.
pub(super) const KEYS: [&[u8]; 4] = [&[1], &[1, 2], &[2, 1], &[2]];

/// `upstreams.NAME.open_timeout`.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

const CATCH_UP_LIMIT: CatchUpLimit = CatchUpLimit { events: 10_000, bytes: 8 << 20, concurrent: 16 };
