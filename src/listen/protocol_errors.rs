//! Errors that happen before a request reaches the service: requests that hyper rejects, and connections that time out.
//!
//! Each is counted. A request that got a response also has an access line, like one that reached a route. On HTTP/2
//! only errors of whole connections appear: h2 does not report the streams that it refuses itself (malformed, too
//! large, one too many).

use std::net::IpAddr;
use std::sync::Arc;

use tracing::info;

use super::service::Peer;
use super::timeouts::TimedOut;
use crate::telemetry::{ACCESS, ListenerMetrics, Protocol};

/// Reports the protocol errors of one connection.
#[derive(Clone)]
pub(super) struct ProtocolErrors {
    metrics: Arc<ListenerMetrics>,
    client: IpAddr,
    protocol: Protocol,
}

impl ProtocolErrors {
    /// Creates the reporter for a connection of `peer`.
    pub(super) fn new(metrics: Arc<ListenerMetrics>, peer: &Peer) -> Self {
        Self { metrics, client: peer.address.ip().to_canonical(), protocol: peer.protocol }
    }

    /// Reports the error that ended an HTTP/1 connection.
    pub(super) fn on_http1_error(&self, error: &hyper::Error) {
        let (status, reason) = match error {
            _ if !error.is_parse() => return,
            // hyper has one predicate for both, and only its text tells the statuses apart.
            _ if error.is_parse_too_large() && error.to_string().contains("URI") => (414, "uri_too_long"),
            _ if error.is_parse_too_large() => (431, "headers"),
            _ => (400, "malformed"),
        };
        self.metrics.refused_with(status, reason);
        if !self.metrics.acquire_refusal_line() {
            return;
        }
        info!(
            target: ACCESS,
            client = %self.client,
            route = "-",
            status,
            protocol = self.protocol.as_str(),
            reason,
            "answered"
        );
    }

    /// Reports the error that ended an HTTP/2 connection.
    pub(super) fn on_http2_error(&self, error: &h2::Error) {
        // h2 raised the error itself, because the client violated the protocol or a limit.
        if error.is_library() {
            self.metrics.refused("malformed");
        }
    }

    /// Counts a connection that is closed, or gets a GOAWAY, for `reason`.
    pub(super) fn on_refused(&self, reason: &'static str) {
        self.metrics.refused(reason);
    }

    /// Counts a connection that is closed after a timeout. An idle connection does not count as refused.
    pub(super) fn on_timeout(&self, timed_out: TimedOut) {
        match timed_out {
            TimedOut::Head(limit) => self.metrics.refused(limit),
            TimedOut::Idle => {}
        }
    }
}
