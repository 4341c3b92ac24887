//! What no service hears of: requests that hyper refuses itself, and connections that take too long over one.
//!
//! Each is counted, and what was answered has an access line, as if it had come as far as a route. HTTP/2 tells of whole
//! connections only: a stream that h2 refuses by itself (malformed, too large, one too many) is not seen here.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::info;

use super::service::Peer;
use super::timeouts::TimedOut;
use crate::telemetry::{ACCESS, ListenerMetrics, Protocol};

/// Speaks for one connection.
pub struct ProtocolErrors {
    metrics: Arc<ListenerMetrics>,
    client: IpAddr,
    protocol: Protocol,
}

impl ProtocolErrors {
    /// For a connection of this peer.
    pub fn new(metrics: Arc<ListenerMetrics>, peer: &Peer) -> Self {
        Self { metrics, client: peer.address.ip().to_canonical(), protocol: peer.protocol }
    }

    /// An HTTP/1 connection ended with this.
    pub fn on_http1_error(&self, error: &hyper::Error) {
        let (status, reason) = match error {
            _ if !error.is_parse() => return,
            // The two have one name in hyper's interface, and different statuses.
            _ if error.is_parse_too_large() && error.to_string().contains("URI") => (414, "uri_too_long"),
            _ if error.is_parse_too_large() => (431, "headers"),
            _ => (400, "malformed"),
        };
        self.metrics.refused_with(status, reason);
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

    /// An HTTP/2 connection ended with this.
    pub fn on_http2_error(&self, error: &h2::Error) {
        // Ours: what the client did was against the protocol, or too much of something.
        if error.is_library() {
            self.metrics.refused("malformed");
        }
    }

    /// The connection is closed, or takes no more requests, for this reason.
    pub fn on_refused(&self, reason: &'static str) {
        self.metrics.refused(reason);
    }

    /// The connection is closed because it took so long. One that is merely idle is refused nothing.
    pub fn on_timeout(&self, timed_out: TimedOut) {
        match timed_out {
            TimedOut::Head(limit) => self.metrics.refused(limit),
            TimedOut::Idle => {}
        }
    }
}
