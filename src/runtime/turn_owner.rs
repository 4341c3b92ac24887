//! The owner of work that waits for a turn of its worker.
//!
//! Owners alternate, so an owner with many tasks delays its own most. Says nothing of what the work is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::limits::Limits;

/// The owner of a task that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TurnOwner {
    /// All connections of a client's address, see [`Limits::network`].
    Address(IpAddr),
    /// One connection of a trusted proxy, which stands for many clients.
    Connection(SocketAddr),
    /// All upstreams that feed streams of the route with this name.
    Route(Arc<str>),
}

impl TurnOwner {
    /// Returns the owner of a client's connection.
    pub fn of_client(client: SocketAddr, is_trusted_proxy: bool, limits: &Limits) -> Self {
        if is_trusted_proxy { Self::Connection(client) } else { Self::Address(limits.network(client.ip())) }
    }
}
