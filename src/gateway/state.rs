//! The state of a running gateway, and the handle to inspect and reload it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::warn;

use super::build::{self, BuildError};
use super::cluster::ClusterLink;
use super::live_upstreams::LiveUpstreams;
use super::refresh::Refresher;
use crate::admin::{AdminContext, ClusterDescription, Readiness};
use crate::auth::TrustStore;
use crate::config::Config;
use crate::http::App;
use crate::limits::Limits;
use crate::listen::AcceptLimits;
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::memory::Watermark;
use crate::runtime::workers::Workers;
use crate::store::Store;
use crate::stream::{LivePolicies, Streams};
use crate::telemetry::Metrics;
use crate::telemetry::logging::FilterHandle;

/// The state that lives as long as the gateway.
pub(super) struct GatewayState {
    /// The state that requests share.
    pub app: Arc<App>,
    pub metrics: Arc<Metrics>,
    pub memory: Arc<Watermark>,
    /// The upstreams that open streams read from.
    pub upstreams: LiveUpstreams,
    /// The lookups and attempts of upstreams.
    pub connects: ConnectBudget,
    /// The policies of open streams.
    pub policies: LivePolicies,
    pub readiness: Arc<Readiness>,
    pub refresher: Refresher,
    pub store: Option<Store>,
    /// The connection to the cluster, if the gateway is in one.
    pub cluster: Option<Arc<ClusterLink>>,
    /// The configuration at the start.
    pub started: Config,
    /// The workers, where streams run. Empty until the gateway runs.
    pub workers: OnceLock<Workers>,
    /// The log of the process, if it is the gateway's.
    pub log: OnceLock<FilterHandle>,
    pub stage: watch::Sender<Stage>,
    pub accept_limits: AcceptLimits,
    /// The effective configuration without secrets.
    pub effective_config: Arc<ArcSwap<serde_json::Value>>,
}

impl GatewayState {
    /// Returns the parts that the admin port shows. `filter` is the log filter, if operators may change it.
    pub(super) fn admin_context(&self) -> AdminContext {
        AdminContext {
            version: env!("CARGO_PKG_VERSION"),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            limits: self.app.limits.clone(),
            streams: self.app.streams.clone(),
            trust: self.app.trust.clone(),
            effective_config: self.effective_config.clone(),
            panics: self.app.tasks.panics().clone(),
            hosts: self.started.admin.as_ref().map(|admin| admin.hosts.clone()).unwrap_or_default(),
            filter: self.log.get().cloned(),
            cluster: self.cluster.clone().map(|cluster| Arc::new(move || cluster.describe()) as ClusterDescription),
        }
    }
}

/// The stage of a gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not all listeners accept yet.
    Starting,
    /// All listeners accept.
    Serving,
    /// The gateway has been told to shut down.
    Draining,
}

/// A handle to a running gateway. Cheap to clone.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<GatewayState>);

impl Handle {
    /// Returns the open streams.
    pub fn streams(&self) -> &Streams {
        &self.0.app.streams
    }

    /// Returns the gateway's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns a receiver of the stage and its changes.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.0.stage.subscribe()
    }

    /// Returns whether every worker runs a new task within this time; `false` before the gateway runs.
    pub async fn workers_respond(&self, within: Duration) -> bool {
        let Some(workers) = self.0.workers.get() else { return false };
        workers.respond_within(within).await
    }

    /// Puts the routes, issuers and revocations of another configuration in place, all or nothing. Open responses
    /// continue where the new routes still admit them, and end as revoked otherwise. Changed limits apply to later
    /// connections and requests. Listeners and the admin port stay as they were at the start.
    ///
    /// # Errors
    /// A part of the configuration is invalid; nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<(), BuildError> {
        let (state, app) = (&self.0, &self.0.app);
        let prepared = build::prepare(config, &app.trust, &state.policies, &state.metrics, &state.connects)?;
        let routes = prepared.install(&app.trust, &state.refresher)?;
        app.routes.store(Arc::new(routes));
        state.upstreams.update(&app.routes.load());
        build::update_policies(app);
        // Notified last, so that open responses are checked against the new routes.
        app.trust.change_signal().notify();
        state.refresher.start(&app.trust, &app.tasks);
        if let Some(workers) = state.workers.get() {
            build::open_always_streams(app, workers);
        }
        app.limits.store(Arc::new(config.limits.clone()));
        app.streams.ledger().set_bound(config.limits.memory);
        publish_limits(&config.limits, &app.trust, &state.metrics);
        state.effective_config.store(Arc::new(config.effective_after_reload(&state.started)));
        for table in config.restart_only_changes(&state.started) {
            warn!(table, "changed: takes effect after a restart");
        }
        Ok(())
    }
}

/// Publishes the limits as metrics, for alerts that compare gauges with them.
pub(super) fn publish_limits(limits: &Limits, trust: &TrustStore, metrics: &Metrics) {
    let Limits { connections, subscribers, streams, memory, .. } = *limits;
    for (limit, most) in [("connections", connections), ("subscribers", subscribers), ("streams", streams)] {
        metrics.limit(limit, most as f64);
    }
    metrics.limit("revocations", trust.revocations().capacity() as f64);
    match memory {
        Some(bytes) => metrics.limit("memory_bytes", bytes as f64),
        None => warn!("limits.memory has no effect: the system does not report its memory"),
    }
}
