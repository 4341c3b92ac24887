//! The routes that are served, and which of them a request is for.
//!
//! A table is built whole and never changed; a reload puts another in its place. The most specific pattern wins: a host
//! before none, a literal segment before a capture.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderValue;

use super::observer::RouteObserver;
use super::pattern::{Captures, Mismatch};
use super::settings::Settings;
use crate::auth::Authorizer;
use crate::stream::{Ids, ReadThrough};
use crate::telemetry::RouteMetrics;
use crate::upstream::{Current, Resource};

/// One route as it is served.
pub struct Route {
    /// What is configured.
    pub settings: Arc<Settings>,
    /// Who may read it. `None`: everyone.
    pub authorizer: Option<Authorizer>,
    /// Where its streams read from, also after a reload.
    pub upstream: Arc<Current>,
    /// What is counted.
    pub metrics: Arc<RouteMetrics>,
    /// Fingerprint of where its events come from.
    pub source: u64,
    /// Fingerprint of that and of how its streams are kept, for the stream key.
    pub origin: u64,
    /// The same for what is kept beyond the process: in words that the next version understands as well, and without
    /// what may be set otherwise at the next start.
    pub stored_origin: [u8; 32],
    /// Catches up clients whose id is older than the log, where that is configured.
    pub read_through: Option<ReadThrough>,
}

impl Route {
    /// A route with its parts.
    pub fn new(settings: Arc<Settings>, authorizer: Option<Authorizer>, metrics: Arc<RouteMetrics>) -> Self {
        let source = source(&settings);
        let (origin, stored_origin) = (origin(&settings, source), stored_origin(&settings));
        let read_through = settings.replay.read_through.map(|limit| {
            ReadThrough::new(limit, settings.upstream.open_timeout, Arc::new(RouteObserver(metrics.clone())))
        });
        let upstream = Current::new(settings.upstream.clone());
        Self { settings, authorizer, upstream, metrics, source, origin, stored_origin, read_through }
    }
}

/// All routes, the most specific first.
#[derive(Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Orders the routes. Ambiguous ones have been refused when the configuration was read.
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by_key(|route| (route.settings.host.is_none(), route.settings.path.specificity()));
        Self(routes)
    }

    /// The route for a host (without port, in any case) and a canonical path, given decoded, with what the path captures.
    ///
    /// # Errors
    /// No route matches. Where one would but for what stands at a capture, that is said.
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

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

/// Whatever makes the upstream another one, or asks it for something else.
fn source(settings: &Settings) -> u64 {
    let mut hasher = DefaultHasher::new();
    let target = &settings.upstream;
    for origin in &target.origins {
        (origin.scheme.as_str(), origin.authority.as_str(), &origin.base, &origin.query).hash(&mut hasher);
    }
    for (name, value) in target.identifying_headers() {
        (name.as_str(), value.map(HeaderValue::as_bytes)).hash(&mut hasher);
    }
    format!("{:?}", settings.upstream_path).hash(&mut hasher);
    hasher.finish()
}

/// What comes from elsewhere, or is kept another way, makes the streams other streams.
fn origin(settings: &Settings, source: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    format!("{:?} {:?}", settings.stream, settings.replay.verdict).hash(&mut hasher);
    settings.replay.store.hash(&mut hasher);
    hasher.finish()
}

/// Where the events come from and whose ids they bear. How much is kept and how it is told may change meanwhile.
fn stored_origin(settings: &Settings) -> [u8; 32] {
    let target = &settings.upstream;
    let ids = match settings.stream.ids {
        Ids::Keep => "keep",
        Ids::Fill => "fill",
        Ids::Replace => "replace",
    };
    let mut digest = Context::new(&SHA256);
    let mut add = |value: &[u8]| {
        digest.update(&(value.len() as u64).to_le_bytes());
        digest.update(value);
    };
    for origin in &target.origins {
        // As a request's target: a query is what no base can hold, and adds nothing where there is none.
        let base = Resource::default().at(origin);
        for part in [origin.scheme.as_str(), origin.authority.as_str(), &base] {
            add(part.as_bytes());
        }
    }
    add(settings.upstream_path.to_string().as_bytes());
    add(ids.as_bytes());
    // A secret is known by its name alone, so that it can be renewed. No other header is empty.
    for (name, value) in target.identifying_headers() {
        add(name.as_str().as_bytes());
        add(value.map(HeaderValue::as_bytes).unwrap_or_default());
    }
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
