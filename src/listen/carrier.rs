//! What carries a connection on when its protocol is known: a task of its own, and what counts the connection.

use std::sync::Arc;

use futures_util::FutureExt;

use super::admission::Admitted;
use crate::tasks::Tasks;
use crate::telemetry::{ListenerMetrics, Protocol};

/// Starts the task that carries a connection on. The connection counts as open until that ends, or is never started.
pub struct Carrier {
    tasks: Tasks,
    open: Open,
}

/// Counts a connection while it lives.
struct Open {
    metrics: Arc<ListenerMetrics>,
    protocol: Protocol,
    admitted: Admitted,
}

impl Carrier {
    pub(super) fn new(tasks: Tasks, metrics: Arc<ListenerMetrics>, protocol: Protocol, admitted: Admitted) -> Self {
        metrics.opened(protocol);
        Self { tasks, open: Open { metrics, protocol, admitted } }
    }

    /// Whether the client's address has more connections than it may.
    pub(super) fn is_over_ip_limit(&self) -> bool {
        self.open.admitted.is_over_ip_limit
    }

    /// Starts it. It is small and fresh: the one before holds a handshake, or a whole HTTP/1 connection.
    pub fn carry(self, connection: impl Future<Output = ()> + Send + 'static) {
        let Self { tasks, open } = self;
        // Not an `async` block: that would keep the connection twice.
        tasks.spawn("connection's carrier", connection.map(move |()| drop(open)));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.closed(self.protocol);
    }
}
