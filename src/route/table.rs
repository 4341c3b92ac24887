//! The route table.
//!
//! A table is immutable; a reload replaces it. The most specific route wins: one with a host before one without, a literal
//! segment before a capture.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::observer::RouteObserver;
use super::pattern::{Captures, Mismatch};
use super::settings::Settings;
use crate::auth::Authorizer;
use crate::runtime::connect_budget::ConnectBudget;
use crate::stream::{Ids, LivePolicy, LiveUpstream, ReadThrough};
use crate::telemetry::{Room, RouteMetrics, ShareMetrics};

/// One route with its parts.
pub struct Route {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Decides who may read the route. `None`: everyone may.
    pub authorizer: Option<Authorizer>,
    /// The upstream of its streams. A reload may replace it while they are open.
    pub upstream: Arc<LiveUpstream>,
    /// The policy of its streams. A route of the same name after a reload has the same one, so open streams follow.
    pub policy: Arc<LivePolicy>,
    /// The route's metrics.
    pub metrics: Arc<RouteMetrics>,
    /// The hash of the upstream and the path that its events come from.
    pub source: u64,
    /// The hash of the source and of the form of ids, for the stream key.
    pub origin: u64,
    /// The digest of the source for stored logs. It is stable between versions, and leaves out settings that may change
    /// between two starts without losing the logs.
    pub stored_origin: [u8; 32],
    /// Requests history for clients whose id is older than the log (`replay.read_through`).
    pub read_through: Option<ReadThrough>,
}

impl Route {
    /// Creates a route with its parts. Its streams connect within `budget`. The policy is not changed.
    pub fn new(
        settings: Arc<Settings>,
        authorizer: Option<Authorizer>,
        policy: Arc<LivePolicy>,
        metrics: Arc<RouteMetrics>,
        shares: &ShareMetrics,
        budget: &ConnectBudget,
    ) -> Self {
        let source = source(&settings);
        let (origin, stored_origin) = (origin(&settings, source), stored_origin(&settings));
        let read_through = settings.replay.read_through.map(|limit| {
            let observer = Arc::new(RouteObserver(metrics.clone()));
            ReadThrough::new(
                limit,
                settings.upstream.timing().open_timeout,
                observer,
                shares.on_refusal(Room::ReadThrough),
            )
        });
        let upstream = LiveUpstream::new(settings.upstream.clone(), budget.clone());
        Self { settings, authorizer, upstream, policy, metrics, source, origin, stored_origin, read_through }
    }
}

/// All routes, with the most specific first.
#[derive(Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Sorts the routes. The configuration has refused ambiguous ones already.
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by_key(|route| (route.settings.host.is_none(), route.settings.path.specificity()));
        Self(routes)
    }

    /// Finds the route for a host (without a port, in any case) and a canonical path, given decoded. Returns it with the
    /// captures of the path.
    ///
    /// # Errors
    /// No route matches. If a route matches except that a capture does not accept its segment, the error says so.
    pub fn find(&self, host: &str, path: &str) -> Result<(&Arc<Route>, Captures), Mismatch> {
        let mut mismatch = Mismatch::Other;
        for route in &self.0 {
            if route.settings.host.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(host)) {
                continue;
            }
            match route.settings.path.matches(path) {
                Ok(captures) => return Ok((route, captures)),
                Err(fault) if mismatch == Mismatch::Other => mismatch = fault,
                Err(_) => {}
            }
        }
        Err(mismatch)
    }

    /// Returns all routes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

/// Hashes everything that selects the upstream and the requested resource.
fn source(settings: &Settings) -> u64 {
    let mut hasher = DefaultHasher::new();
    settings.upstream.identity().hash(&mut hasher);
    format!("{:?}", settings.upstream_path).hash(&mut hasher);
    hasher.finish()
}

/// Hashes the source and the form of ids. A reload that changes one of them opens new streams.
fn origin(settings: &Settings, source: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    format!("{:?}", settings.ids).hash(&mut hasher);
    hasher.finish()
}

/// Returns the SHA-256 digest of the source and of the form of ids. Retention and the form of verdicts may change between two starts.
fn stored_origin(settings: &Settings) -> [u8; 32] {
    let ids = match settings.ids {
        Ids::Keep => "keep",
        Ids::Fill => "fill",
        Ids::Replace => "replace",
    };
    let mut digest = Context::new(&SHA256);
    let mut add = |value: &[u8]| {
        digest.update(&(value.len() as u64).to_le_bytes());
        digest.update(value);
    };
    add(&settings.upstream.identity());
    add(settings.upstream_path.to_string().as_bytes());
    add(ids.as_bytes());
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
