//! The gateway's part in a cluster: the engine, what keeps it going, and what operators are told of it.
//!
//! The engine has tasks of its own. They outlive the streams that need them in a drain, and end with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::admin::Readiness;
use crate::auth::{Tickets, TrustStore};
use crate::cluster::{
    ClaimResult, Cluster, ClusterErrorKind, ClusterKeys, ClusterObserver, ClusterRevocations, ClusterSettings,
    ClusterTickets, Engine, NodeSettings, NodeView, ResetCause, ResyncCause,
};
use crate::route::{LogStorage, Routes};
use crate::runtime::tasks::Tasks;
use crate::stream::{ShareRole, SharedLogs, SharedRequests, StopHandler};
use crate::telemetry::{ClusterMetrics, ClusterRole, Metrics};

/// The connection of a gateway to its cluster.
pub(super) struct ClusterLink {
    engine: Arc<dyn Engine>,
    cluster: Arc<Cluster>,
    keys: Arc<ClusterKeys>,
    observer: Arc<CountingObserver>,
    /// Empty until the gateway's revocations are shared.
    revocations: OnceLock<ClusterRevocations>,
    /// Makes the future that keeps the engine connected.
    run: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// Returns the name and version of the server.
    server: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    metrics: Arc<ClusterMetrics>,
    settings: ClusterSettings,
}

impl ClusterLink {
    /// Joins the cluster. Nothing is connected before [`Self::start`]. Must be called within a runtime.
    pub(super) fn new(settings: ClusterSettings, metrics: &Metrics, tasks: &Tasks) -> Self {
        let EngineParts { engine, run, server } = engine_parts(&settings);
        let metrics = metrics.cluster().clone();
        metrics.connected(false);
        let node = NodeSettings { keys: settings.keys.clone(), lease: settings.lease, host: host_name() };
        let observer = Arc::new(CountingObserver(metrics.clone()));
        let cluster = Cluster::start(engine.clone(), node, observer.clone(), tasks);
        let keys = Arc::new(ClusterKeys::new(&settings.keys));
        let revocations = OnceLock::new();
        Self { engine, cluster, keys, observer, revocations, run, server, metrics, settings }
    }

    /// Returns what shares the logs of streams.
    pub(super) fn shared_logs(&self) -> Arc<dyn SharedLogs> {
        self.cluster.clone()
    }

    /// Returns what agrees with other gateways on the streams that requests open.
    pub(super) fn shared_requests(&self) -> Arc<dyn SharedRequests> {
        self.cluster.clone()
    }

    /// Has `handler` stop streams that clients of other gateways want stopped.
    pub(super) fn handle_stops(&self, handler: Arc<dyn StopHandler>) {
        self.cluster.handle_stops(handler);
    }

    /// Shares the revocations of this store.
    pub(super) fn share_revocations(&self, trust: TrustStore) -> TrustStore {
        trust.with_shared_revocations(|table| {
            let (engine, keys) = (self.engine.clone(), self.keys.clone());
            let shared = || ClusterRevocations::new(engine, keys, self.observer.clone(), table);
            Arc::new(self.revocations.get_or_init(shared).clone())
        })
    }

    /// Shares these tickets.
    pub(super) fn share_tickets(&self, tickets: Tickets) -> Tickets {
        let (engine, keys) = (self.engine.clone(), self.keys.clone());
        tickets.with_shared(Arc::new(ClusterTickets::new(engine, keys, self.observer.clone())))
    }

    /// Starts the tasks of the engine on this runtime.
    pub(super) fn start(&self, tasks: &Tasks) {
        let run = self.run.clone();
        tasks.spawn_restarting("cluster", "", move || run());
        if let Some(revocations) = self.revocations.get().cloned() {
            tasks.spawn_restarting("cluster revocations", "", move || {
                let revocations = revocations.clone();
                async move { revocations.run().await }
            });
        }
    }

    /// Returns the problem of the engine, for the operator. `None`: it is connected and acknowledges this gateway's beats.
    fn problem(&self) -> Option<String> {
        let state = self.engine.state().borrow().clone();
        match (&state.error, state.is_connected) {
            (None, false) => Some("the engine is not connected yet".to_owned()),
            (Some(error), false) => Some(format!("the engine is away: {error}")),
            (_, true) => {
                let problem = self.cluster.lease_problem()?;
                Some(format!("the engine acknowledges nothing, so this gateway owns no stream: {problem}"))
            }
        }
    }

    /// Sets the condition and the note of the gateway's readiness. Call it about once a second.
    pub(super) fn report_readiness(&self, readiness: &Readiness) {
        let revocations = self.revocations.get();
        let loaded = match revocations.is_none_or(|revocations| *revocations.loaded().borrow()) {
            true => Ok(()),
            false => Err("the cluster's revocations are not loaded yet".to_owned()),
        };
        readiness.set(Readiness::CLUSTER, loaded);
        readiness.note(Readiness::CLUSTER, self.problem());
        let unreadable = self.cluster.unreadable();
        let note =
            || format!("{unreadable} shared streams stand still: their newest record cannot be read, see the log");
        readiness.note("cluster streams", (unreadable > 0).then(note));
        let pending = revocations.map_or(0, ClusterRevocations::pending);
        let note = || format!("{pending} changes of revocations are not known to the other gateways yet");
        readiness.note("cluster revocations", (pending > 0).then(note));
    }

    /// Sets the gauges for these routes, and others that have shared streams. Call it about once a second.
    pub(super) fn measure(&self, routes: &Routes) {
        self.metrics.connected(self.problem().is_none());
        let shared = routes.iter().filter(|route| route.settings.stream.storage == LogStorage::Cluster);
        let mut by_route: BTreeMap<Arc<str>, [usize; ClusterRole::ALL.len()]> =
            shared.map(|route| (route.settings.name.as_str().into(), Default::default())).collect();
        for (route, role) in self.cluster.roles() {
            by_route.entry(route).or_default()[metric_role(role) as usize] += 1;
        }
        for (route, by_role) in by_route {
            self.metrics.streams(&route, by_role);
        }
    }

    /// Describes the cluster for the admin port.
    pub(super) fn describe(&self) -> Value {
        let state = self.engine.state().borrow().clone();
        let urls: Vec<_> = self.settings.urls.iter().map(ToString::to_string).collect();
        json!({
            "name": self.settings.name.as_str(),
            "node": self.cluster.node(),
            "lease": self.cluster.has_lease(),
            "nodes": self.cluster.nodes().iter().map(describe_node).collect::<Vec<_>>(),
            "engine": {
                "connected": state.is_connected,
                "connections": state.connections,
                "server": (self.server)(),
                "urls": urls,
                "problem": self.problem(),
            },
        })
    }
}

/// An engine, and what keeps it going.
struct EngineParts {
    engine: Arc<dyn Engine>,
    run: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    server: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

#[cfg(feature = "cluster")]
fn engine_parts(settings: &ClusterSettings) -> EngineParts {
    let engine = crate::cluster::NatsEngine::new(settings.clone());
    let (running, told) = (engine.clone(), engine.clone());
    EngineParts {
        engine,
        run: Arc::new(move || Box::pin(running.clone().run())),
        server: Arc::new(move || told.server()),
    }
}

#[cfg(not(feature = "cluster"))]
fn engine_parts(_: &ClusterSettings) -> EngineParts {
    unreachable!("the configuration refuses [cluster] without the feature")
}

fn describe_node(node: &NodeView) -> Value {
    json!({
        "node": node.node,
        "host": node.host,
        "seen_seconds": node.seen_ago.as_secs_f64(),
        "self": node.is_self,
        "owned": node.streams.owned,
        "followed": node.streams.followed,
        "behind": node.streams.behind,
    })
}

fn metric_role(role: ShareRole) -> ClusterRole {
    match role {
        ShareRole::Own => ClusterRole::Own,
        ShareRole::Follow => ClusterRole::Follow,
        ShareRole::Join => ClusterRole::Join,
    }
}

/// Returns the name of this machine, for operators.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|character| !character.is_control()).take(64).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Counts the facts of the cluster in the gateway's metrics.
pub(super) struct CountingObserver(pub(super) Arc<ClusterMetrics>);

impl ClusterObserver for CountingObserver {
    fn claimed(&self, route: &str, result: ClaimResult) {
        self.0.claimed(route, result.label());
    }

    fn fenced(&self, route: &str) {
        self.0.fenced(route);
    }

    fn committed(&self, route: &str, took: Duration) {
        self.0.committed(route, took);
    }

    fn followed(&self, route: &str, delay: Duration) {
        self.0.followed(route, delay);
    }

    fn resynced(&self, cause: ResyncCause) {
        self.0.resynced(cause.label());
    }

    fn reset(&self, cause: ResetCause) {
        self.0.reset(cause.label());
    }

    fn failed(&self, kind: ClusterErrorKind) {
        self.0.error(kind.label());
    }
}
