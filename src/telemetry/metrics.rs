//! All metrics of one gateway, and their Prometheus rendering.
//!
//! Owns its recorder: two `Metrics` in one process never mix, and no global recorder is set. The configuration names
//! routes and listeners, so it bounds the number of series. Opens no socket: the admin port serves the rendered text.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Label, SharedString};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;

use super::catalogue;
use super::cluster::ClusterMetrics;
use super::delivery_metrics;
use super::listener::{Accepted, ListenerMetrics};
use super::process;
use super::registry::Registry;
use super::route::{RouteMetrics, RouteTotals};
use super::shares::ShareMetrics;
use super::store::StoreMetrics;

/// The metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    handle: PrometheusHandle,
    accepted: Arc<Accepted>,
    /// By name. Locked for a lookup or an insertion, when a configuration is built and not per request.
    routes: Mutex<BTreeMap<String, Arc<RouteMetrics>>>,
    /// By name, like the routes.
    listeners: Mutex<BTreeMap<String, Arc<ListenerMetrics>>>,
    shares: ShareMetrics,
    dropped_lines: Counter,
    store: OnceLock<Arc<StoreMetrics>>,
    cluster: OnceLock<Arc<ClusterMetrics>>,
}

impl Metrics {
    /// Starts at zero. `version` becomes `rillgate_build_info{version}`.
    pub fn new(version: &str) -> Arc<Self> {
        let registry = Registry::new();
        registry.gauge(catalogue::BUILD_INFO, vec![Label::new("version", version.to_owned())]).set(1.0);
        let unrouted = Arc::new(RouteMetrics::new(&registry, RouteMetrics::NONE));
        for task in catalogue::TASKS {
            registry.counter(catalogue::TASK_PANICS, labels([("task", task.into())])).increment(0);
        }
        Arc::new(Self {
            handle: registry.handle(),
            accepted: Arc::new(Accepted::new(&registry, unrouted.clone())),
            shares: ShareMetrics::new(&registry),
            dropped_lines: registry.counter(catalogue::LOG_LINES_DROPPED, Vec::new()),
            registry,
            routes: Mutex::new(BTreeMap::from([(RouteMetrics::NONE.to_owned(), unrouted)])),
            listeners: Mutex::default(),
            store: OnceLock::new(),
            cluster: OnceLock::new(),
        })
    }

    /// Returns the metrics of the route of this name, creating them on first use. [`RouteMetrics::NONE`] stands for no
    /// route. Takes a lock, so keep the result.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock();
        if let Some(route) = routes.get(name) {
            return route.clone();
        }
        let route = Arc::new(RouteMetrics::new(&self.registry, name));
        routes.insert(name.to_owned(), route.clone());
        route
    }

    /// Returns the metrics of the listener of this name, creating them on first use. Takes a lock, so keep the result.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut listeners = self.listeners.lock();
        if let Some(listener) = listeners.get(name) {
            return listener.clone();
        }
        let listener = Arc::new(ListenerMetrics::new(&self.registry, name, &self.accepted));
        listeners.insert(name.to_owned(), listener.clone());
        listener
    }

    /// Returns the counts of refused shares.
    pub fn shares(&self) -> &ShareMetrics {
        &self.shares
    }

    /// Returns the metrics of the store, creating them on first use.
    pub fn store(&self) -> &Arc<StoreMetrics> {
        self.store.get_or_init(|| Arc::new(StoreMetrics::new(&self.registry, self.shares.clone())))
    }

    /// Returns the metrics of the cluster, creating them on first use.
    pub fn cluster(&self) -> &Arc<ClusterMetrics> {
        self.cluster.get_or_init(|| Arc::new(ClusterMetrics::new(&self.registry)))
    }

    /// Returns the totals of every route, by name.
    pub fn totals(&self) -> Vec<RouteTotals> {
        self.routes.lock().values().map(|route| route.totals()).collect()
    }

    /// Records that the gateway has started with a valid configuration.
    pub fn config_loaded(&self) {
        for result in ["ok", "refused"] {
            // The series start at zero, so that a rate over them includes the first reload.
            self.registry.counter(catalogue::CONFIG_RELOADS, labels([("result", result.into())])).increment(0);
        }
        self.config_outcome(true);
    }

    /// Records the end of a reload: `ok`, or the kind of error. The first load is not a reload.
    pub fn config_reload(&self, result: &'static str) {
        self.registry.counter(catalogue::CONFIG_RELOADS, labels([("result", result.into())])).increment(1);
        self.config_outcome(result == "ok");
    }

    fn config_outcome(&self, taken: bool) {
        self.registry.gauge(catalogue::CONFIG_LAST_RELOAD_SUCCESSFUL, Vec::new()).set(f64::from(taken));
        if taken {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64().floor());
            self.registry.gauge(catalogue::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP, Vec::new()).set(now);
        }
    }

    /// Records a configured bound, to compare gauges with.
    pub fn limit(&self, limit: &'static str, most: f64) {
        self.registry.gauge(catalogue::LIMIT, labels([("limit", limit.into())])).set(most);
    }

    /// Logs how many lines of each route and listener were suppressed since the last call. Call it once a second.
    pub fn report_suppressed_lines(&self) {
        self.routes.lock().values().for_each(|route| route.report_suppressed_lines());
        self.listeners.lock().values().for_each(|listener| listener.report_suppressed_lines());
    }

    /// Records the number of log lines that were dropped so far.
    pub fn log_lines_dropped(&self, total: u64) {
        self.dropped_lines.absolute(total);
    }

    /// Records the bytes of a kind of memory that count towards `limits.memory`.
    pub fn memory(&self, kind: &'static str, bytes: u64) {
        self.registry.gauge(catalogue::MEMORY_BYTES, labels([("kind", kind.into())])).set(bytes as f64);
    }

    /// Records the longest recent delay of a worker's timers.
    pub fn worker_delay(&self, delay: Duration) {
        self.registry.gauge(catalogue::WORKER_DELAY, Vec::new()).set(delay.as_secs_f64());
    }

    /// Records the number of revocations from this origin: `posted` or `file`.
    pub fn revocations(&self, from: &'static str, entries: usize) {
        self.registry.gauge(catalogue::REVOCATIONS, labels([("from", from.into())])).set(entries as f64);
    }

    /// Records the expiry of the certificate that is in use under this name, in Unix time.
    pub fn certificate_expiry(&self, name: &str, unix_seconds: f64) {
        let labels = labels([("name", name.to_owned().into())]);
        self.registry.gauge(catalogue::CERTIFICATE_EXPIRY, labels).set(unix_seconds);
    }

    /// Counts a fetch of an issuer's keys: `ok`, or the kind of error. `issuer` is its name in the configuration.
    pub fn jwks_refresh(&self, issuer: &str, result: &'static str) {
        let labels = labels([("issuer", issuer.to_owned().into()), ("result", result.into())]);
        self.registry.counter(catalogue::JWKS_REFRESHES, labels).increment(1);
    }

    /// Counts a panic of the task of this name.
    pub fn task_panicked(&self, task: &'static str) {
        self.registry.counter(catalogue::TASK_PANICS, labels([("task", task.into())])).increment(1);
    }

    /// Counts tasks of this name that were cut off at the drain deadline.
    pub fn tasks_aborted(&self, task: &'static str, count: u64) {
        self.registry.counter(catalogue::TASKS_ABORTED, labels([("task", task.into())])).increment(count);
    }

    /// Renders the Prometheus text format, version 0.0.4, with metrics sorted by name.
    ///
    /// Takes milliseconds per thousand series and reads `/proc`, so call it off the runtime's workers.
    pub fn render(&self) -> String {
        self.registry.publish();
        let deliveries = {
            let routes = self.routes.lock();
            let published = routes.iter().filter_map(|(name, route)| Some((name.as_str(), route.publish()?)));
            delivery_metrics::render(published)
        };

        // The exporter returns metrics in random order, separated by blank lines.
        let rendered = self.handle.render();
        let process = process::render();
        let mut metrics: Vec<&str> =
            [&rendered, &deliveries, &process].into_iter().flat_map(|text| text.split_terminator("\n\n")).collect();
        metrics.sort_unstable_by_key(|metric| metric.split_ascii_whitespace().nth(2));
        let mut text = String::with_capacity(rendered.len() + deliveries.len() + process.len() + 1);
        for metric in metrics {
            text.push_str(metric);
            text.push('\n');
        }
        text
    }

    /// Sorts the histograms' samples into their buckets. Call it every 5 s, off the runtime's workers: until then each
    /// sample takes 16 bytes, and scrapes may be too rare.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn labels<const N: usize>(pairs: [(&'static str, SharedString); N]) -> Vec<Label> {
    pairs.into_iter().map(|(name, value)| Label::new(name, value)).collect()
}

#[cfg(test)]
mod tests;
