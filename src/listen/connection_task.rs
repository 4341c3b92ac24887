//! The task of a connection after its protocol is known, and the connection's place in the counts.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::accept::Admitted;
use crate::runtime::tasks::Tasks;
use crate::telemetry::{ListenerMetrics, Protocol};

/// Spawns the task that drives a connection.
///
/// The connection counts as open until that task ends, or until this is dropped without spawning one.
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

    /// Whether the client's address is over its connection limit.
    pub(super) fn is_over_ip_limit(&self) -> bool {
        self.connection.admitted.is_over_ip_limit
    }

    /// Spawns the task.
    ///
    /// A new task is small. The previous one has the size of a TLS handshake or of a whole HTTP/1 connection.
    pub fn spawn(self, future: impl Future<Output = ()> + Send + Unpin + 'static) {
        let Self { tasks, client, connection } = self;
        let name = match connection.protocol {
            Protocol::Http1 => "writer",
            Protocol::Http2 => "connection",
        };
        // An `async` block would store the future twice, and a box would add an indirection to each poll.
        tasks.spawn_on(&Handle::current(), name, client, future.map(move |()| drop(connection)));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.closed(self.protocol);
    }
}
