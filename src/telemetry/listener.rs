//! The metrics of one listener: its connections and handshakes.
//!
//! All listeners share the totals of accepted connections, of handshakes and of refusals before any request, because
//! those carry no listener label. Does not know the use of a connection: see the route's metrics.

use std::sync::Arc;
use std::time::Instant;

use metrics::Label;
use tracing::warn;

use super::buffered::{BufferedCounter, BufferedGauge};
use super::catalogue;
use super::family::Family;
use super::label::Protocol;
use super::line_limiter::LineLimiter;
use super::registry::Registry;
use super::route::RouteMetrics;

/// Most lines of one listener in a second that tell of refused handshakes.
const MAX_HANDSHAKE_LINES: u32 = 10;

/// The metrics of one listener.
pub struct ListenerMetrics {
    name: String,
    /// Bounds lines about refused handshakes.
    handshake_lines: LineLimiter,
    connections: [BufferedGauge; 2],
    shared: Arc<Accepted>,
}

/// The totals over all listeners.
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
        let (name, handshake_lines) = (name.to_owned(), LineLimiter::new(MAX_HANDSHAKE_LINES));
        Self { connections: Protocol::ALL.map(gauge), name, handshake_lines, shared: shared.clone() }
    }

    /// Returns the listener's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if a line about a refused handshake may be logged now.
    pub fn acquire_handshake_line(&self) -> bool {
        self.handshake_lines.acquire(Instant::now())
    }

    /// Returns true if a line about a request that was refused before its route was known may be logged now.
    pub fn acquire_refusal_line(&self) -> bool {
        self.shared.unrouted.acquire_refusal_line()
    }

    pub(super) fn report_suppressed_lines(&self) {
        let lines = self.handshake_lines.take_suppressed();
        if lines > 0 {
            warn!(listener = self.name, lines, "further lines about refused TLS handshakes suppressed");
        }
    }

    /// Counts a connection whose protocol is known. Call [`Self::closed`] with the same protocol once for each.
    pub fn opened(&self, protocol: Protocol) {
        self.connections[protocol as usize].change(1);
    }

    /// Counts the end of a connection that [`Self::opened`] counted.
    pub fn closed(&self, protocol: Protocol) {
        self.connections[protocol as usize].change(-1);
    }

    /// Counts an accepted connection, before the first byte is read.
    pub fn accepted(&self) {
        self.shared.connections.add(1);
    }

    /// Counts the end of a TLS handshake: `ok`, or the kind of error.
    pub fn handshake(&self, result: &'static str) {
        self.shared.handshakes.increment(result);
    }

    /// Counts a connection that was closed before its first request, or in the middle of a request.
    pub fn refused(&self, reason: &'static str) {
        self.shared.unrouted.rejected(reason);
    }

    /// Counts a request that was refused with this status before its route was known.
    pub fn refused_with(&self, status: u16, reason: &'static str) {
        self.shared.unrouted.request(status);
        self.shared.unrouted.rejected(reason);
    }

    /// Counts a connection or a handshake that has to wait for this rate limit.
    pub fn waits(&self, limit: &'static str) {
        self.shared.waits.increment(limit);
    }
}

impl Accepted {
    /// Counts refusals before any route under `unrouted`.
    pub(super) fn new(registry: &Registry, unrouted: Arc<RouteMetrics>) -> Self {
        let handshakes = Family::new(registry, catalogue::TLS_HANDSHAKES, Vec::new(), "result");
        handshakes.prepare(&["ok"]);
        let waits = Family::new(registry, catalogue::RATE_WAITS, Vec::new(), "limit");
        waits.prepare(&["accepts_per_second", "handshakes_per_second", "open_files"]);
        let connections = registry.buffered_counter(catalogue::CONNECTIONS_TOTAL, Vec::new());
        Self { connections, handshakes, waits, unrouted }
    }
}
