//! The parts of the gateway that the admin port shows or changes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::health::Readiness;
use crate::auth::TrustStore;
use crate::limits::SharedLimits;
use crate::runtime::panics::Panics;
use crate::stream::Streams;
use crate::telemetry::Metrics;
use crate::telemetry::logging::FilterHandle;

/// Returns what is known of the cluster, in JSON.
pub type ClusterDescription = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// The data sources of the admin port, all of them shared with the gateway.
pub struct AdminContext {
    /// The version that the status page shows.
    pub version: &'static str,
    /// The metrics of `/metrics`, and the totals of the status page.
    pub metrics: Arc<Metrics>,
    /// The readiness of `/readyz`.
    pub readiness: Arc<Readiness>,
    /// The limits in force, for the prefix by which the port's IPv6 clients are counted.
    pub limits: SharedLimits,
    /// The streams of `/streams` and `/tap`.
    pub streams: Streams,
    /// The owner of the revocations.
    pub trust: Arc<TrustStore>,
    /// The effective configuration without secrets, which a reload replaces.
    pub effective_config: Arc<ArcSwap<serde_json::Value>>,
    /// Counts panics of the port's blocking work.
    pub panics: Panics,
    /// Names of the port besides those that are always accepted (see [`Settings::hosts`]).
    ///
    /// [`Settings::hosts`]: super::Settings::hosts
    pub hosts: Vec<String>,
    /// The log filter, if operators may change it. `None` makes `/log-level` a 404.
    pub filter: Option<FilterHandle>,
    /// Describes the cluster, if the gateway is in one. Must not block.
    pub cluster: Option<ClusterDescription>,
}
