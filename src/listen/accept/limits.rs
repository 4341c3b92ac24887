//! How many connections come in, and how fast: what all listeners share.
//!
//! Its limits can change while connections are open: those go on, and what comes after meets the new ones.

use std::sync::Arc;

use super::admission::Admission;
use super::rate_limiter::RateLimiter;
use crate::limits::Limits;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// Counts connections over all listeners.
    pub admission: Admission,
    /// How fast connections are accepted.
    pub accepts: Arc<RateLimiter>,
    /// How fast TLS handshakes are begun.
    pub handshakes: Arc<RateLimiter>,
}

impl AcceptLimits {
    /// As wide as the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            admission: Admission::new(limits.connections, limits.connections_per_ip),
            accepts: Arc::new(RateLimiter::new(limits.accepts_per_second)),
            handshakes: Arc::new(RateLimiter::new(limits.handshakes_per_second)),
        }
    }

    /// Other limits from now on.
    pub fn limit(&self, limits: &Limits) {
        self.admission.limit(limits.connections, limits.connections_per_ip);
        self.accepts.limit(limits.accepts_per_second);
        self.handshakes.limit(limits.handshakes_per_second);
    }
}
