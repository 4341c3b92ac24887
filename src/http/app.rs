//! What all requests share: the routes of this moment, the streams, the limits, who may take permissions back.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::subscription_limits::SubscriptionLimits;
use crate::auth::{Tickets, TrustStore};
use crate::limits::{Limits, SharedLimits};
use crate::route::Routes;
use crate::runtime::memory::Watermark;
use crate::runtime::tasks::Tasks;
use crate::stream::{LogStore, Streams};
use crate::telemetry::{Metrics, RouteMetrics};
use crate::upstream::Targets;

/// See the module. One for the life of the gateway.
pub struct App {
    /// What is served. Read once for each request, so that a request sees one whole table.
    pub routes: ArcSwap<Routes>,
    /// Where open streams read from.
    pub upstreams: Targets,
    /// All open streams.
    pub streams: Streams,
    /// Who keeps event logs beyond the process, for the routes that want it.
    pub store: Option<Arc<dyn LogStore>>,
    /// Room for subscriptions.
    pub subscription_limits: SubscriptionLimits,
    /// Whether memory is short.
    pub memory: Watermark,
    /// Issuers and revocations.
    pub authority: Arc<TrustStore>,
    /// One-time tickets that wait for their use.
    pub tickets: Tickets,
    /// How much of each thing is let in.
    pub limits: SharedLimits,
    /// Whether access lines carry the token's subject.
    pub log_subject: bool,
    /// Over how long a drain spreads departures.
    pub spread: Duration,
    /// Starts tasks, and knows whether the gateway is leaving.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is counted where no route matches.
    pub unrouted: Arc<RouteMetrics>,
    /// Pages served beside the streams: the demo's.
    pub pages: ArcSwap<Vec<StaticPage>>,
}

impl App {
    /// Other limits for what comes after; what is there goes on.
    pub fn set_limits(&self, limits: &Limits) {
        self.streams.set_max_streams(limits.streams);
        self.memory.set_limit(limits.memory);
        self.limits.store(Arc::new(limits.clone()));
    }
}

/// A fixed answer at an exact path, for everyone.
#[derive(Clone, Debug)]
pub struct StaticPage {
    /// The path.
    pub path: &'static str,
    /// Its headers, the content type among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
}
