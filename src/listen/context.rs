//! The parts of the gateway that a listener and its connections use.

use std::sync::Arc;

use super::accept::{AcceptLimits, Handover};
use super::proxy::TrustedProxies;
use super::settings::ClientAddress;
use super::tls::{HandshakeLog, Tls};
use crate::limits::SharedLimits;
use crate::runtime::memory::MemoryLedger;
use crate::runtime::tasks::{Draining, Tasks};
use crate::runtime::workers::Workers;
use crate::telemetry::ListenerMetrics;

/// The state that a listener shares with the rest of the gateway.
#[derive(Clone)]
pub struct ListenerContext {
    /// Limits on the number of connections and on their rate, for all listeners together.
    pub accept_limits: AcceptLimits,
    /// The gateway's limits. A connection keeps the limits that it was accepted with.
    pub limits: SharedLimits,
    /// Counts the memory of connections.
    pub ledger: Arc<MemoryLedger>,
    /// The worker threads that run connections.
    pub workers: Workers,
    /// Spawns the tasks of connections.
    pub tasks: Tasks,
    /// Signals that the listener must stop accepting.
    pub draining: Draining,
    /// The listener's counters.
    pub metrics: Arc<ListenerMetrics>,
    /// TLS of the listener. `None` for a plain listener.
    pub tls: Option<Arc<Tls>>,
    /// Logs the listener's refused handshakes.
    pub handshake_log: Arc<HandshakeLog>,
    /// Proxies that are trusted to report the client's address. They have no limit per address, because many clients
    /// come through each.
    pub trusted_proxies: TrustedProxies,
    /// The source of the client's address.
    pub client_address: ClientAddress,
    /// The way in which the socket is left to another process during a drain.
    pub handover: Handover,
}
