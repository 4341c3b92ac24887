//! The limits on accepting connections, shared by all listeners.
//!
//! Each decision reads the limits in force, so a reload applies to the next connection and leaves open ones alone.

use std::sync::Arc;

use super::admission::Admission;
use super::rate_limiter::RateLimiter;
use crate::limits::SharedLimits;

/// The limits on the number of connections and on the rates of accepts and handshakes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// Counts connections over all listeners.
    pub admission: Admission,
    limits: SharedLimits,
    accepts: Arc<RateLimiter>,
    handshakes: Arc<RateLimiter>,
}

impl AcceptLimits {
    /// Counts against the limits in force.
    pub fn new(limits: SharedLimits) -> Self {
        Self { admission: Admission::new(limits.clone()), limits, accepts: Arc::default(), handshakes: Arc::default() }
    }

    /// Waits until one more connection may be accepted. Calls `on_wait` first if there is a wait.
    pub async fn acquire_accept(&self, on_wait: impl FnOnce()) {
        let per_second = self.limits.load().accepts_per_second;
        self.accepts.acquire(per_second, on_wait).await;
    }

    /// Waits until one more TLS handshake may begin. Calls `on_wait` first if there is a wait.
    pub async fn acquire_handshake(&self, on_wait: impl FnOnce()) {
        let per_second = self.limits.load().handshakes_per_second;
        self.handshakes.acquire(per_second, on_wait).await;
    }
}
