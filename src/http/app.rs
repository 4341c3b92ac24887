//! The state that requests use: routes, streams, limits and tokens. The gateway keeps the rest for itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::post::body_limits::PostBodyLimits;
use super::post::post_streams::PostStreams;
use super::stream_opens::StreamOpenLimits;
use super::subscription_limits::SubscriptionLimits;
use crate::auth::{Tickets, TrustStore};
use crate::forward::ExchangeLimits;
use crate::limits::SharedLimits;
use crate::route::Routes;
use crate::runtime::tasks::Tasks;
use crate::stream::{SharedRequests, StoredRequests, Streams};
use crate::telemetry::RouteMetrics;

/// The state that all requests share. There is one for the life of the gateway.
pub(crate) struct App {
    /// The current routes. Loaded once for each request, so that a request sees one whole table.
    pub routes: ArcSwap<Routes>,
    /// All open streams.
    pub streams: Streams,
    /// The limits on open subscriptions.
    pub subscription_limits: SubscriptionLimits,
    /// The limits on forwarded requests.
    pub exchange_limits: ExchangeLimits,
    /// The streams that were opened by `POST`.
    pub post_streams: PostStreams,
    /// Agrees with other gateways on the streams that `POST`s open, if there are any.
    pub shared_requests: Option<Arc<dyn SharedRequests>>,
    /// Finds the streams that `POST`s have opened in the store, if there is one.
    pub stored_requests: Option<Arc<dyn StoredRequests>>,
    /// The bounds on the bodies of `POST`s that open streams.
    pub post_bodies: PostBodyLimits,
    /// The rates at which requests open streams.
    pub stream_opens: StreamOpenLimits,
    /// Issuers and revocations.
    pub trust: Arc<TrustStore>,
    /// Tickets that have not been redeemed.
    pub tickets: Tickets,
    /// The limits in force.
    pub limits: SharedLimits,
    /// Whether access lines contain the token's subject.
    pub log_subject: bool,
    /// The time over which a drain spreads the ends of responses.
    pub spread: Duration,
    /// Spawns tasks, and knows whether the gateway is draining.
    pub tasks: Tasks,
    /// The metrics of requests that match no route.
    pub unrouted: Arc<RouteMetrics>,
    /// Fixed responses beside the streams; the demo has some.
    pub pages: ArcSwap<Vec<StaticPage>>,
}

/// A fixed response at an exact path, for everyone.
#[derive(Clone, Debug)]
pub struct StaticPage {
    /// The path.
    pub path: &'static str,
    /// The header fields, with `Content-Type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}
