//! The metrics of the cluster. Their series exist only where there is a cluster.
//!
//! Does not know streams or the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};
use parking_lot::RwLock;

use super::catalogue;
use super::family::Family;
use super::registry::Registry;

/// The metrics of the cluster.
pub struct ClusterMetrics {
    registry: Registry,
    connected: Gauge,
    resyncs: Family<&'static str>,
    resets: Family<&'static str>,
    errors: Family<&'static str>,
    /// By name. Locked for a lookup or an insertion.
    routes: RwLock<BTreeMap<String, Arc<ClusterRouteMetrics>>>,
}

/// The role of a gateway in a stream. Label `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterRole {
    /// It reads the upstream.
    Own,
    /// It gets the events from the owner.
    Follow,
    /// It does not know yet what is shared.
    Join,
}

struct ClusterRouteMetrics {
    streams: [Gauge; ClusterRole::ALL.len()],
    claims: Family<&'static str>,
    fenced: Counter,
    commit: Histogram,
    follow: Histogram,
}

impl ClusterMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let family = |name, label, values: &[&'static str]| {
            let family = Family::new(registry, name, Vec::<Label>::new(), label);
            family.prepare(values);
            family
        };
        Self {
            registry: registry.clone(),
            connected: registry.gauge(catalogue::CLUSTER_CONNECTED, Vec::new()),
            resyncs: family(catalogue::CLUSTER_RESYNCS, "cause", &[]),
            resets: family(catalogue::CLUSTER_RESETS, "cause", &catalogue::RESET_CAUSES),
            errors: family(catalogue::CLUSTER_ERRORS, "kind", &[]),
            routes: RwLock::default(),
        }
    }

    /// Records whether there is a connection to the engine.
    pub fn connected(&self, is_connected: bool) {
        self.connected.set(f64::from(is_connected));
    }

    /// Records how many streams of a route this gateway has in each role, in the order of [`ClusterRole`].
    pub fn streams(&self, route: &str, by_role: [usize; ClusterRole::ALL.len()]) {
        for (gauge, count) in self.route(route).streams.iter().zip(by_role) {
            gauge.set(count as f64);
        }
    }

    /// Counts a claim: `won`, `lost` or `failed`.
    pub fn claimed(&self, route: &str, result: &'static str) {
        self.route(route).claims.increment(result);
    }

    /// Counts an owned stream that another gateway took over.
    pub fn fenced(&self, route: &str) {
        self.route(route).fenced.increment(1);
    }

    /// Records the time until a record was acknowledged.
    pub fn committed(&self, route: &str, took: Duration) {
        self.route(route).commit.record(took);
    }

    /// Records the age of an event when it was applied.
    pub fn followed(&self, route: &str, delay: Duration) {
        self.route(route).follow.record(delay);
    }

    /// Counts a stream that was read from the engine.
    pub fn resynced(&self, cause: &'static str) {
        self.resyncs.increment(cause);
    }

    /// Counts a stream that began anew.
    pub fn reset(&self, cause: &'static str) {
        self.resets.increment(cause);
    }

    /// Counts a failure of this kind.
    pub fn error(&self, kind: &'static str) {
        self.errors.increment(kind);
    }

    fn route(&self, name: &str) -> Arc<ClusterRouteMetrics> {
        if let Some(route) = self.routes.read().get(name) {
            return route.clone();
        }
        let mut routes = self.routes.write();
        routes
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(ClusterRouteMetrics::new(&self.registry, name)))
            .clone()
    }
}

impl ClusterRole {
    /// All roles, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Own, Self::Follow, Self::Join];

    /// Returns the label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Follow => "follow",
            Self::Join => "join",
        }
    }
}

impl ClusterRouteMetrics {
    fn new(registry: &Registry, route: &str) -> Self {
        let labels = || vec![Label::new("route", route.to_owned())];
        let claims = Family::new(registry, catalogue::CLUSTER_CLAIMS, labels(), "result");
        claims.prepare(&["won", "lost", "failed"]);
        let fenced = registry.counter(catalogue::CLUSTER_FENCED, labels());
        fenced.increment(0);
        Self {
            streams: ClusterRole::ALL.map(|role| {
                let role = Label::new("role", role.as_str());
                registry.gauge(catalogue::CLUSTER_STREAMS, vec![labels().remove(0), role])
            }),
            claims,
            fenced,
            commit: registry.histogram(catalogue::CLUSTER_COMMIT_SECONDS, labels()),
            follow: registry.histogram(catalogue::CLUSTER_FOLLOW_SECONDS, labels()),
        }
    }
}
