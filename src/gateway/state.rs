//! The state of a running gateway, and the handle that looks at it and changes it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::warn;

use super::admin_api::GatewayViews;
use super::build::{self, BuildError};
use super::refresh::Refresher;
use crate::admin::Readiness;
use crate::config::Config;
use crate::http::App;
use crate::limits::Limits;
use crate::listen::AcceptLimits;
use crate::runtime::workers::Workers;
use crate::store::Store;

/// What lives as long as the gateway.
pub struct GatewayState {
    pub app: Arc<App>,
    pub readiness: Arc<Readiness>,
    pub refresher: Refresher,
    pub store: Option<Store>,
    /// What the gateway was started with.
    pub started: Config,
    /// Where tasks of streams run, once it runs.
    pub workers: OnceLock<Workers>,
    pub stage: watch::Sender<Stage>,
    pub accept_limits: AcceptLimits,
    /// What is effective_config of the running configuration.
    pub effective_config: Arc<ArcSwap<serde_json::Value>>,
}

impl GatewayState {
    pub(super) fn views(&self) -> GatewayViews {
        GatewayViews { app: self.app.clone(), config: self.effective_config.clone() }
    }
}

/// What a gateway is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not all listeners accept yet.
    Starting,
    /// All listeners accept.
    Serving,
    /// It has been told to leave.
    Draining,
}

/// A running gateway, from outside.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<GatewayState>);

impl Handle {
    /// What is shared by all requests.
    pub fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    /// What the gateway is at, and what it comes to.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.0.stage.subscribe()
    }

    /// Whether each worker gets to a new task within this time; not before the gateway runs.
    pub async fn workers_respond(&self, within: Duration) -> bool {
        let Some(workers) = self.0.workers.get() else { return false };
        workers.respond_within(within).await
    }

    /// Puts another configuration's routes, issuers and revocations in place: all or nothing. Open responses go on
    /// where the new routes would still admit them, and end as revoked where not. Changed limits are
    /// those of what comes after. Listeners and the admin port are those of the start.
    ///
    /// # Errors
    /// What cannot be made; everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), BuildError> {
        let app = &self.0.app;
        let prepared = build::prepare(config, &app.authority, &app.metrics)?;
        let routes = prepared.install(&app.authority, &self.0.refresher)?;
        app.routes.store(Arc::new(routes));
        build::update_upstreams(app);
        // Only now can open responses ask the new routes whether they are still admitted.
        app.authority.change_signal().notify();
        self.0.refresher.start(app);
        build::persist_current_streams(app);
        if let Some(workers) = self.0.workers.get() {
            build::open_always_streams(app, workers);
        }
        app.set_limits(&config.limits);
        publish_limits(app);
        self.0.effective_config.store(Arc::new(config.effective_after_reload(&self.0.started)));
        for table in config.restart_only_changes(&self.0.started) {
            warn!(table, "changed, which only a restart puts in place");
        }
        Ok(())
    }
}

/// Publishes the limits, which alerts compare gauges with.
pub(super) fn publish_limits(app: &App) {
    let limits = app.limits.load();
    let Limits { connections, subscribers, streams, .. } = **limits;
    for (limit, most) in [("connections", connections), ("subscribers", subscribers), ("streams", streams)] {
        app.metrics.limit(limit, most as f64);
    }
    app.metrics.limit("revocations", app.authority.revocations().capacity() as f64);
    if let Some(bytes) = app.memory.bound() {
        app.metrics.limit("memory_bytes", bytes as f64);
    }
}
