//! The gateway's part in a cluster: it shares streams, beats, and answers other gateways.
//!
//! ```text
//!  Streams ── open ──▶ Cluster ──▶ MemberTask, one for each stream ──▶ Engine
//!                         └─ beats, questions, reconnects: one task each
//! ```

mod answers;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::beat::{Beat, StreamCounts};
use super::context::{ClusterContext, MAX_CLAIMS, RandomBits, RecentWrites};
use super::engine::{Engine, EngineState, LogId};
use super::keys::ClusterKeys;
use super::member::Member;
use super::member_task::MemberTask;
use super::nodes::{NodeView, Nodes};
use super::observer::{ClusterErrorKind, ClusterObserver, ResyncCause};
use crate::runtime::tasks::Tasks;
use crate::secret::Secret;
use crate::stream::{Finished, ShareRole, SharedFeed, SharedLog, SharedLogs, StopHandler};

/// The settings of a gateway in a cluster.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// One key, or two while it is changed, of at least 32 bytes each. The first names and signs; all verify.
    pub keys: Vec<Secret>,
    /// The time after which another gateway takes over. From 1 s to 60 s.
    pub lease: Duration,
    /// The name of this gateway's host, for operators. At most 255 bytes.
    pub host: String,
}

/// The gateway's part in a cluster. Give it to [`Streams::with_shared_logs`](crate::stream::Streams::with_shared_logs).
pub struct Cluster {
    context: Arc<ClusterContext>,
    host: String,
    /// The reason why the last beat was not acknowledged. Never held across an await.
    beat_failure: Mutex<Option<String>>,
    /// Never held across an await.
    members: Mutex<Members>,
    /// Stops streams that other gateways' clients want stopped.
    stops: OnceLock<Arc<dyn StopHandler>>,
}

/// The members by log. Those that are gone are removed whenever the map has doubled.
#[derive(Default)]
struct Members {
    by_log: HashMap<LogId, Weak<Member>>,
    swept_at: usize,
}

impl Cluster {
    /// Starts to beat. The gateway owns streams as soon as the engine has acknowledged a beat.
    ///
    /// When `tasks` drain, owned streams are released at once and followed until their readers have left.
    pub fn start(
        engine: Arc<dyn Engine>,
        settings: NodeSettings,
        observer: Arc<dyn ClusterObserver>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let random = RandomBits::of_system();
        let node = random.epoch();
        let NodeSettings { keys, lease, host } = settings;
        let context = ClusterContext {
            engine,
            keys: ClusterKeys::new(&keys),
            nodes: Nodes::new(node, lease),
            observer,
            claims: Semaphore::new(MAX_CLAIMS),
            written: RecentWrites::default(),
            tasks: tasks.clone(),
            random,
            #[cfg(test)]
            mutant: super::fake::Mutant::None,
        };
        Self::start_with(context, host)
    }

    /// Starts with a context, which tests make themselves.
    pub(super) fn start_with(context: ClusterContext, host: String) -> Arc<Self> {
        info!(node = context.nodes.me(), host, "cluster joined");
        let (beat_failure, members) = (Mutex::default(), Mutex::default());
        let cluster =
            Arc::new(Self { context: Arc::new(context), host, beat_failure, members, stops: OnceLock::new() });
        let tasks = &cluster.context.tasks;
        for (name, task) in [
            ("cluster beat", Self::beat as fn(Arc<Self>) -> BoxFuture<'static, ()>),
            ("cluster lease", Self::end_lease),
            ("cluster nodes", Self::listen),
            ("cluster answers", Self::answer),
            ("cluster reconnects", Self::reconcile),
        ] {
            let cluster = cluster.clone();
            tasks.spawn_restarting(name, "", move || {
                let cluster = cluster.clone();
                async move {
                    // The drain waits for tasks. Beats go on until the last stream has been handed over and has ended.
                    tokio::select! {
                        () = task(cluster.clone()) => {}
                        () = cluster.is_over() => {}
                    }
                }
            });
        }
        cluster
    }

    /// Has `handler` stop streams that clients of other gateways want stopped. Only the first one counts.
    pub fn handle_stops(&self, handler: Arc<dyn StopHandler>) {
        let _ = self.stops.set(handler);
    }

    /// Returns what all streams use.
    pub(super) fn context(&self) -> &Arc<ClusterContext> {
        &self.context
    }

    /// Returns the node id: random for each run of the gateway.
    pub fn node(&self) -> &str {
        self.context.nodes.me()
    }

    /// Returns the gateways that are heard of, this one first.
    pub fn nodes(&self) -> Vec<NodeView> {
        self.context.nodes.views(&self.host, self.streams())
    }

    /// Returns the state of the connection to the engine.
    pub fn engine_state(&self) -> watch::Receiver<EngineState> {
        self.context.engine.state()
    }

    /// Returns true while this gateway may own streams: the engine acknowledges its beats.
    pub fn has_lease(&self) -> bool {
        self.context.nodes.is_valid()
    }

    /// Returns the reason why this gateway may own no stream, for the operator. `None`: the engine acknowledges its beats.
    pub fn lease_problem(&self) -> Option<String> {
        if self.has_lease() {
            return None;
        }
        let failure = self.beat_failure.lock().clone();
        Some(failure.unwrap_or_else(|| "no beat was acknowledged yet".to_owned()))
    }

    /// Returns the number of shared streams whose newest record this gateway cannot read.
    pub fn unreadable(&self) -> usize {
        self.members().iter().filter(|member| member.is_unreadable()).count()
    }

    /// Returns the route and the role of each shared stream of this gateway, in any order.
    pub fn roles(&self) -> Vec<(Arc<str>, ShareRole)> {
        self.members().iter().map(|member| (member.route().clone(), member.role())).collect()
    }

    /// Counts the streams by role.
    fn streams(&self) -> StreamCounts {
        let mut counts = StreamCounts::default();
        for member in self.members() {
            match member.role() {
                ShareRole::Own => counts.owned += 1,
                ShareRole::Follow => {
                    counts.followed += 1;
                    counts.behind += u64::from(member.is_behind());
                }
                ShareRole::Join => {}
            }
        }
        counts
    }

    fn members(&self) -> Vec<Arc<Member>> {
        self.members.lock().by_log.values().filter_map(Weak::upgrade).collect()
    }

    fn member(&self, log: &LogId) -> Option<Arc<Member>> {
        self.members.lock().by_log.get(log).and_then(Weak::upgrade)
    }

    /// Completes when the gateway drains and no shared stream is left.
    async fn is_over(&self) {
        self.context.tasks.draining().started().await;
        while !self.members().is_empty() {
            sleep(OVER_INTERVAL).await;
        }
    }

    /// Stores a beat every quarter of a lease.
    fn beat(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (context, lease) = (&self.context, self.context.nodes.lease());
            for count in 1.. {
                let sent = Instant::now();
                let beat = Beat {
                    host: self.host.clone(),
                    count,
                    streams: self.streams(),
                    written: context.written.within(WRITTEN_WINDOW.max(lease / 2)),
                };
                let payload = beat.encode(&context.keys, self.node());
                match timeout(lease / 2, context.engine.beat(self.node(), payload.into())).await {
                    Ok(Ok(())) => context.nodes.acknowledged(sent),
                    Ok(Err(error)) => {
                        context.count_error(&error);
                        *self.beat_failure.lock() = Some(error.to_string());
                    }
                    Err(_) => {
                        let waited = (lease / 2).as_secs_f32();
                        *self.beat_failure.lock() = Some(format!("no answer to a beat within {waited:.1} s"));
                    }
                }
                if context.nodes.has_suspects() {
                    match timeout(lease / 2, context.engine.beats()).await {
                        Ok(Ok(beats)) => {
                            beats.iter().for_each(|(node, beat)| self.on_beat(node, beat));
                            context.nodes.confirm_deaths();
                        }
                        Ok(Err(error)) => context.count_error(&error),
                        Err(_) => {}
                    }
                }
                sleep_until(sent + lease / 4).await;
            }
        })
    }

    /// Tells the members when the own lease ends.
    fn end_lease(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let nodes = &self.context.nodes;
            let mut had_lease = false;
            loop {
                nodes.update_validity();
                let has_lease = nodes.is_valid();
                // The loss of a connection is logged where it is noticed.
                if had_lease && !has_lease && self.context.engine.state().borrow().is_connected {
                    let error = self.lease_problem();
                    warn!(error, "the cluster's engine is connected and acknowledges nothing");
                }
                had_lease = has_lease;
                match nodes.valid_until().filter(|end| *end > Instant::now()) {
                    Some(end) => sleep_until(end).await,
                    None => sleep(nodes.lease() / 8).await,
                }
            }
        })
    }

    /// Listens for the beats of all gateways.
    fn listen(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                match self.context.engine.live_beats().await {
                    Ok(mut beats) => {
                        while let Some((node, beat)) = beats.next().await {
                            self.on_beat(&node, &beat);
                        }
                    }
                    Err(error) => self.context.count_error(&error),
                }
                sleep(RESUBSCRIBE_PAUSE).await;
            }
        })
    }

    fn on_beat(&self, node: &str, bytes: &[u8]) {
        if node == self.node() {
            return;
        }
        let Some(beat) = Beat::decode(&self.context.keys, node, bytes) else {
            self.context.observer.failed(ClusterErrorKind::Signature);
            return;
        };
        self.context.nodes.saw(node, &beat.host, beat.count, beat.streams);
        for (log, sequence) in &beat.written {
            if let Some(member) = self.member(log) {
                member.heard_of(*sequence);
            }
        }
    }

    /// Finds out after each reconnect which streams have records that did not arrive.
    fn reconcile(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut state = self.context.engine.state();
            let mut known = state.borrow_and_update().connections;
            while state.changed().await.is_ok() {
                let EngineState { is_connected, connections, .. } = *state.borrow_and_update();
                if !is_connected || connections == known {
                    continue;
                }
                known = connections;
                self.context.nodes.reconnected();
                info!(connections, "engine connected");
                let members = self.members();
                for members in members.chunks(NEWEST_AT_ONCE) {
                    let logs: Vec<_> = members.iter().map(|member| *member.log_id()).collect();
                    let newest = self.context.engine.newest_of(&logs).await;
                    let newest = newest.inspect_err(|error| self.context.count_error(error)).unwrap_or_default();
                    let newest: HashMap<_, _> = newest.into_iter().collect();
                    for member in members {
                        // What owners said meanwhile is missing too.
                        member.demand_question();
                        if !newest.get(member.log_id()).is_some_and(|newest| member.is_at(newest)) {
                            self.context.observer.resynced(ResyncCause::Reconnect);
                            member.demand_look();
                        }
                    }
                    yield_now().await;
                }
            }
            warn!("engine gone");
        })
    }
}

impl SharedLogs for Cluster {
    fn open(&self, feed: SharedFeed) -> (Arc<dyn SharedLog>, BoxFuture<'static, Finished>) {
        let log = self.context.keys.log_id(&feed.stream().key().identity);
        let member = Member::new(self.context.clone(), log, feed.stream(), !feed.is_repeatable());
        let mut members = self.members.lock();
        if members.by_log.len() >= 2 * members.swept_at.max(LEAST_SWEPT) {
            members.by_log.retain(|_, member| member.strong_count() > 0);
            members.swept_at = members.by_log.len();
        }
        members.by_log.insert(log, Arc::downgrade(&member));
        drop(members);
        let task = MemberTask::new(member.clone(), feed);
        (member, Box::pin(task.run()))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.node())
    }
}

/// The number of members below which none that are gone are removed.
const LEAST_SWEPT: usize = 64;

/// The time between two looks whether the drain is over.
const OVER_INTERVAL: Duration = Duration::from_millis(50);

/// The least time for which a beat names what was written.
const WRITTEN_WINDOW: Duration = Duration::from_secs(3);

/// The pause before a subscription is made again.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_millis(200);

/// The most logs whose newest records are asked for in one call.
const NEWEST_AT_ONCE: usize = 1000;
