//! The parts of the gateway that a listener and its connections use.

use std::sync::Arc;

use super::accept::{AcceptLimits, Handover};
use super::proxy::TrustedProxies;
use super::tls::{HandshakeLog, Tls};
use crate::limits::SharedLimits;
use crate::runtime::tasks::{Draining, Tasks};
use crate::runtime::workers::Workers;
use crate::telemetry::ListenerMetrics;

/// What a listener shares with the rest of the gateway.
#[derive(Clone)]
pub struct ListenerContext {
    /// How many connections come in, and how fast, all listeners together.
    pub accept_limits: AcceptLimits,
    /// The gateway's limits. A connection keeps those that it was accepted with.
    pub limits: SharedLimits,
    /// Where connections run.
    pub workers: Workers,
    /// Starts their tasks.
    pub tasks: Tasks,
    /// When to stop accepting.
    pub draining: Draining,
    /// Counts.
    pub metrics: Arc<ListenerMetrics>,
    /// The listener's TLS, if it has any.
    pub tls: Option<Arc<Tls>>,
    /// Where its refused handshakes are told.
    pub handshake_log: Arc<HandshakeLog>,
    /// Peers whose word about the client's address is believed. They are not limited by address: many clients come
    /// through each.
    pub trusted_proxies: TrustedProxies,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// What becomes of the listener when the gateway leaves.
    pub handover: Handover,
}
