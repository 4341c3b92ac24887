//! Log lines about refused TLS handshakes, a few in a second.
//!
//! The lines tell an operator why a client could not connect. `rillgate_tls_handshakes_total` counts every refusal. The
//! bound, in the listener's metrics, keeps a client that sends garbage from filling the disk.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::info;

use crate::runtime::excerpt;
use crate::telemetry::ListenerMetrics;

/// Logs the refused handshakes of one listener.
pub struct HandshakeLog(Arc<ListenerMetrics>);

impl HandshakeLog {
    /// Creates the log of the listener with these metrics.
    pub fn new(metrics: Arc<ListenerMetrics>) -> Self {
        Self(metrics)
    }

    /// Logs a refused handshake, unless this second's lines are used up.
    pub fn refused(&self, client: SocketAddr, error: &dyn Display) {
        if self.0.acquire_handshake_line() {
            let client = client.ip().to_canonical();
            // It may repeat names of a client's certificate.
            let error = excerpt::truncate(&error.to_string());
            info!(%client, listener = self.0.name(), %error, "TLS handshake refused");
        }
    }
}
