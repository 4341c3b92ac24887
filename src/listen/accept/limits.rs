//! The limits on accepting connections, shared by all listeners.
//!
//! Each decision reads the limits in force, so a reload applies to the next connection and leaves open ones alone.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::admission::Admission;
use super::handshake_queue::{HandshakeQueue, Overdue};
use super::rate_limiter::RateLimiter;
use crate::limits::SharedLimits;
use crate::runtime::file_budget::FileBudget;
use crate::telemetry::{Room, ShareMetrics};

/// The limits on the number of connections and on the rates of accepts and handshakes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// Counts connections over all listeners.
    pub admission: Admission,
    limits: SharedLimits,
    accepts: Arc<RateLimiter>,
    handshakes: Arc<HandshakeQueue>,
}

impl AcceptLimits {
    /// Counts against the limits in force. Refusals of an owner at its share count in `shares`.
    pub fn new(limits: SharedLimits, files: FileBudget, shares: &ShareMetrics) -> Self {
        let handshakes = HandshakeQueue::new(limits.clone(), shares.on_refusal(Room::Handshakes));
        Self {
            admission: Admission::new(limits.clone(), files, shares.on_refusal(Room::Connections)),
            limits,
            accepts: Arc::default(),
            handshakes: Arc::new(handshakes),
        }
    }

    /// Waits until one more connection may be accepted. Calls `on_wait` first if there is a wait.
    pub async fn acquire_accept(&self, on_wait: impl FnOnce()) {
        let per_second = self.limits.load().accepts_per_second;
        self.accepts.acquire(per_second, on_wait).await;
    }

    /// Waits until one more TLS handshake of a client may begin. Calls `on_wait` first if there is a wait. `None` is a
    /// trusted proxy, which stands for many clients.
    ///
    /// # Errors
    /// `Overdue` at `deadline`.
    pub async fn acquire_handshake(
        &self,
        client: Option<IpAddr>,
        deadline: Instant,
        on_wait: impl FnOnce(),
    ) -> Result<(), Overdue> {
        let network = client.map(|client| self.limits.load().network(client));
        self.handshakes.acquire(network, deadline, on_wait).await
    }
}
