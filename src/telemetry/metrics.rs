//! All numbers of one gateway, and their Prometheus rendering.
//!
//! Owns its recorder: two `Metrics` in one process never mix, and no global recorder is set. Routes and listeners
//! are named by the configuration, so the number of series is bounded by it. Serves nothing: see the admin port.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Label, SharedString};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;

use super::catalogue;
use super::listener::{Accepted, ListenerMetrics};
use super::process;
use super::registry::Registry;
use super::route::{RouteMetrics, RouteTotals};
use super::store::StoreMetrics;

/// The numbers of one gateway.
pub struct Metrics {
    registry: Registry,
    handle: PrometheusHandle,
    accepted: Arc<Accepted>,
    /// By name. Held for a lookup or an insertion; taken when a configuration is built, not per request.
    routes: Mutex<BTreeMap<String, Arc<RouteMetrics>>>,
    /// By name, like the routes.
    listeners: Mutex<BTreeMap<String, Arc<ListenerMetrics>>>,
    store: OnceLock<Arc<StoreMetrics>>,
}

impl Metrics {
    /// Begins at zero; `version` is told as `rillgate_build_info{version}`.
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
            registry,
            routes: Mutex::new(BTreeMap::from([(RouteMetrics::NONE.to_owned(), unrouted)])),
            listeners: Mutex::default(),
            store: OnceLock::new(),
        })
    }

    /// The numbers of the route of this name, the same ones each time; [`RouteMetrics::NONE`] for no route.
    /// Keep it: this takes a lock.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock();
        if let Some(route) = routes.get(name) {
            return route.clone();
        }
        let route = Arc::new(RouteMetrics::new(&self.registry, name));
        routes.insert(name.to_owned(), route.clone());
        route
    }

    /// The numbers of the listener of this name, the same ones each time. Keep it: this takes a lock.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut listeners = self.listeners.lock();
        if let Some(listener) = listeners.get(name) {
            return listener.clone();
        }
        let listener = Arc::new(ListenerMetrics::new(&self.registry, name, &self.accepted));
        listeners.insert(name.to_owned(), listener.clone());
        listener
    }

    /// The numbers of the store, the same ones each time. They exist from the first call on.
    pub fn store(&self) -> &Arc<StoreMetrics> {
        self.store.get_or_init(|| Arc::new(StoreMetrics::new(&self.registry)))
    }

    /// The sums of every route, by name.
    pub fn totals(&self) -> Vec<RouteTotals> {
        self.routes.lock().values().map(|route| route.totals()).collect()
    }

    /// The configuration that the gateway starts with is in use.
    pub fn config_loaded(&self) {
        for result in ["ok", "refused"] {
            // They exist at zero, so that a rate over them sees the first reload.
            self.registry.counter(catalogue::CONFIG_RELOADS, labels([("result", result.into())])).increment(0);
        }
        self.config_outcome(true);
    }

    /// A reload of the configuration ended: `ok`, or the kind of error. The first load is none.
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

    /// So many of a thing are let in: what a gauge is to be compared with.
    pub fn limit(&self, limit: &'static str, most: f64) {
        self.registry.gauge(catalogue::LIMIT, labels([("limit", limit.into())])).set(most);
    }

    /// So many entries of the table of revocations are from there: `posted` or `file`.
    pub fn revocations(&self, from: &'static str, entries: usize) {
        self.registry.gauge(catalogue::REVOCATIONS, labels([("from", from.into())])).set(entries as f64);
    }

    /// The certificate now in use under this name expires at that Unix time.
    pub fn certificate_expiry(&self, name: &str, unix_seconds: f64) {
        let labels = labels([("name", name.to_owned().into())]);
        self.registry.gauge(catalogue::CERTIFICATE_EXPIRY, labels).set(unix_seconds);
    }

    /// A fetch of an issuer's keys ended: `ok`, or the kind of error. `issuer` is its name in the configuration.
    pub fn jwks_refresh(&self, issuer: &str, result: &'static str) {
        let labels = labels([("issuer", issuer.to_owned().into()), ("result", result.into())]);
        self.registry.counter(catalogue::JWKS_REFRESHES, labels).increment(1);
    }

    /// A task of this name panicked.
    pub fn task_panicked(&self, task: &'static str) {
        self.registry.counter(catalogue::TASK_PANICS, labels([("task", task.into())])).increment(1);
    }

    /// Tasks of this name were cut off at the drain deadline.
    pub fn tasks_aborted(&self, task: &'static str, count: u64) {
        self.registry.counter(catalogue::TASKS_ABORTED, labels([("task", task.into())])).increment(count);
    }

    /// The Prometheus text format, version 0.0.4, metrics sorted by name.
    ///
    /// Takes milliseconds per thousand series and reads `/proc`: call it off the runtime's workers.
    pub fn render(&self) -> String {
        self.registry.publish();

        // The exporter gives metrics in random order; a blank line stands between them.
        let rendered = self.handle.render();
        let process = process::render();
        let mut metrics: Vec<&str> =
            rendered.split_terminator("\n\n").chain(process.split_terminator("\n\n")).collect();
        metrics.sort_unstable_by_key(|metric| metric.split_ascii_whitespace().nth(2));
        let mut text = String::with_capacity(rendered.len() + process.len() + 1);
        for metric in metrics {
            text.push_str(metric);
            text.push('\n');
        }
        text
    }

    /// Sorts the histograms' samples into their buckets. Call it every 5 s, off the runtime's workers: until then
    /// each sample takes 16 bytes, and a scrape alone may come too rarely.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn labels<const N: usize>(pairs: [(&'static str, SharedString); N]) -> Vec<Label> {
    pairs.into_iter().map(|(name, value)| Label::new(name, value)).collect()
}

#[cfg(test)]
mod tests;
