//! What carries a connection on when its protocol is known: a task of its own, and what counts the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::accept::Admitted;
use crate::runtime::tasks::Tasks;
use crate::telemetry::{ListenerMetrics, Protocol};

/// Starts the task that carries a connection on. The connection counts as open until that ends, or is never started.
pub struct ConnectionTask {
    tasks: Tasks,
    client: SocketAddr,
    connection: OpenConnection,
}

/// Counts a connection while it lives.
struct OpenConnection {
    metrics: Arc<ListenerMetrics>,
    protocol: Protocol,
    admitted: Admitted,
}

impl ConnectionTask {
    pub(super) fn new(
        tasks: Tasks,
        metrics: Arc<ListenerMetrics>,
        protocol: Protocol,
        client: SocketAddr,
        admitted: Admitted,
    ) -> Self {
        metrics.opened(protocol);
        Self { tasks, client, connection: OpenConnection { metrics, protocol, admitted } }
    }

    /// Whether the client's address has more connections than it may.
    pub(super) fn is_over_ip_limit(&self) -> bool {
        self.connection.admitted.is_over_ip_limit
    }

    /// Starts it. It is small and fresh: the one before holds a handshake, or a whole HTTP/1 connection.
    pub fn spawn(self, future: impl Future<Output = ()> + Send + Unpin + 'static) {
        let Self { tasks, client, connection } = self;
        let name = match connection.protocol {
            Protocol::Http1 => "writer",
            Protocol::Http2 => "connection",
        };
        // Neither an `async` block, which would keep the connection twice, nor a box, which would be one more place to look.
        tasks.spawn_on(&Handle::current(), name, client, future.map(move |()| drop(connection)));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.closed(self.protocol);
    }
}
