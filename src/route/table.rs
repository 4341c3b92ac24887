//! The route table.
//!
//! A table is immutable; a reload replaces it. The most specific route wins: one with a host before one without, a literal
//! segment before a capture.

use std::sync::Arc;

use super::identity::stream_identity;
use super::observer::RouteObserver;
use super::pattern::{Captures, Mismatch};
use super::percent;
use super::resource::Resource;
use super::settings::Settings;
use crate::auth::Authorizer;
use crate::forward::Forwarder;
use crate::runtime::connect_budget::ConnectBudget;
use crate::stream::{LivePolicy, LiveUpstream, ReadThrough, StreamIdentity, StreamKey};
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
    /// The identity of the upstream, a part of those of the streams.
    pub upstream_identity: [u8; 32],
    /// Requests history for clients whose id is older than the log (`replay.read_through`).
    pub read_through: Option<ReadThrough>,
    /// Forwards the route's requests. `None`: the route has streams.
    pub forwarder: Option<Forwarder>,
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
        let upstream_identity = settings.upstream.identity();
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
        let forwarder = settings.forward.clone().map(|forward| Forwarder::new(forward, budget));
        Self { settings, authorizer, upstream, policy, metrics, upstream_identity, read_through, forwarder }
    }

    /// Returns the key of the stream for this canonical path and these shared values. `captures` are those of the path.
    pub fn stream_key(&self, path: &str, captures: &[(String, String)], shared: Vec<(String, String)>) -> StreamKey {
        let identity = self.identity(path, captures, &shared);
        StreamKey { route: Arc::from(self.settings.name.as_str()), path: path.to_owned(), shared, identity }
    }

    /// Returns true if the route still has the stream with this key. A route with another name does not: its policy and
    /// its upstream's credentials are not those of the stream.
    pub fn has_stream(&self, key: &StreamKey, captures: &[(String, String)]) -> bool {
        self.identity(&key.path, captures, &key.shared) == key.identity
    }

    fn identity(&self, path: &str, captures: &[(String, String)], shared: &[(String, String)]) -> StreamIdentity {
        let resource = self.resource(captures, shared);
        stream_identity(&self.settings.name, path, shared, &self.upstream_identity, &resource, self.settings.ids)
    }

    /// Returns the path and query of the upstream request for these captures and shared values.
    pub fn resource(&self, captures: &[(String, String)], shared: &[(String, String)]) -> Resource {
        let mut resource = self.settings.upstream_path.expand(captures);
        for (name, value) in StreamKey::parameters(shared) {
            percent::push_parameter(&mut resource.query, name, value);
        }
        resource
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

    /// Whether `found`, which matched this path, may not serve it, because other software may take the path for one of a
    /// route with other rules for tokens: with its last slash dropped, in another case, with an encoded slash decoded, or
    /// without what follows a semicolon.
    pub fn is_evasion(&self, found: &Route, host: &str, path: &str) -> bool {
        let has_other_rules =
            |route: &Route| route.authorizer.is_some() && route.settings.access != found.settings.access;
        if !self.0.iter().any(|route| has_other_rules(route)) {
            return false;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let decoded = path.replace("%2F", "/");
        let plain = decoded.split('/').map(|part| part.split(';').next().unwrap_or_default());
        let plain: String = plain.filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
        let spellings = [path, &decoded, &plain];
        spellings.iter().any(|spelling| {
            let meant = self.0.iter().find(|route| {
                route.settings.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
                    && route.settings.path.matches_loosely(spelling)
            });
            meant.is_some_and(|meant| has_other_rules(meant))
        })
    }

    /// Returns all routes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}
