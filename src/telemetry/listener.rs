//! What is counted per listener: its connections and handshakes.
//!
//! The totals of accepted connections, of handshakes and of refusals before any request carry no listener label, so all
//! listeners share them.
//! Does not know what a connection is used for: see the route's numbers.

use std::sync::Arc;

use metrics::Label;

use super::buffered::{BufferedCounter, BufferedGauge};
use super::catalogue;
use super::family::Family;
use super::label::Protocol;
use super::registry::Registry;
use super::route::RouteMetrics;

/// The numbers of one listener.
pub struct ListenerMetrics {
    connections: [BufferedGauge; 2],
    shared: Arc<Accepted>,
}

/// What all listeners count together.
pub(super) struct Accepted {
    connections: BufferedCounter,
    handshakes: Family<&'static str>,
    waits: Family<&'static str>,
    unrouted: Arc<RouteMetrics>,
}

impl ListenerMetrics {
    pub(super) fn new(registry: &Registry, name: &str, shared: &Arc<Accepted>) -> Self {
        let gauge = |protocol: Protocol| {
            let labels = vec![Label::new("listener", name.to_owned()), Label::new("protocol", protocol.as_str())];
            registry.buffered_gauge(catalogue::CONNECTIONS, labels)
        };
        Self { connections: Protocol::ALL.map(gauge), shared: shared.clone() }
    }

    /// A connection's protocol is known and it is being served. Balanced by one [`Self::closed`] with the same
    /// protocol.
    pub fn opened(&self, protocol: Protocol) {
        self.connections[protocol as usize].change(1);
    }

    /// A connection that was [`Self::opened`] is gone.
    pub fn closed(&self, protocol: Protocol) {
        self.connections[protocol as usize].change(-1);
    }

    /// A connection was accepted; nothing was read from it yet.
    pub fn accepted(&self) {
        self.shared.connections.add(1);
    }

    /// A TLS handshake ended: `ok`, or the kind of error.
    pub fn handshake(&self, result: &'static str) {
        self.shared.handshakes.increment(result);
    }

    /// A connection was closed before there was a request to answer, or in the middle of one.
    pub fn refused(&self, reason: &'static str) {
        self.shared.unrouted.rejected(reason);
    }

    /// A request was refused, with this status, before anything could be asked about its route.
    pub fn refused_with(&self, status: u16, reason: &'static str) {
        self.shared.unrouted.request(status);
        self.shared.unrouted.rejected(reason);
    }

    /// A connection or a handshake has to wait because of this limit.
    pub fn waits(&self, limit: &'static str) {
        self.shared.waits.increment(limit);
    }
}

impl Accepted {
    /// `unrouted` counts what no route does.
    pub(super) fn new(registry: &Registry, unrouted: Arc<RouteMetrics>) -> Self {
        let handshakes = Family::new(registry, catalogue::TLS_HANDSHAKES, Vec::new(), "result");
        handshakes.prepare(&["ok"]);
        let waits = Family::new(registry, catalogue::RATE_WAITS, Vec::new(), "limit");
        waits.prepare(&["accepts_per_second", "handshakes_per_second", "open_files"]);
        let connections = registry.buffered_counter(catalogue::CONNECTIONS_TOTAL, Vec::new());
        Self { connections, handshakes, waits, unrouted }
    }
}
