//! The operator's port: health, metrics, streams, revocations, and a status page.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200, or 503 with the reasons |
//! | `/metrics` | Prometheus text format 0.0.4 |
//! | `/streams` | JSON, all open streams |
//! | `/streams?sort=…&limit=…` | JSON, some of them, in another order |
//! | `/streams/ROUTE/KEY` | JSON, one open stream with its slowest clients |
//! | `/tap/ROUTE/KEY` | the events of one open stream as they arrive, as an event stream; not a subscriber |
//! | `/config` | JSON, the running configuration without its secrets |
//! | `GET`, `PUT /log-level` | the filter of the log, at most 4 KiB |
//! | `GET /revocations?after=ID` | JSON, one page of the revocations |
//! | `POST /revocations` | adds a revocation, at most 64 KiB |
//! | `DELETE /revocations/ID` | removes a revocation |
//! | `/` | a status page, fed by `/events`, an event stream of one JSON snapshot per second |
//!
//! Everything is bounded: connections, their age, request heads and bodies, viewers of the page. The port authenticates
//! no one, so it must not have a public address; pages of other sites are kept out (see `cross_site`). It reads the
//! gateway's parts through one [`AdminContext`], and does not know how requests of clients are answered.

mod blocking;
mod body;
mod context;
mod cross_site;
mod health;
mod history;
mod page;
mod permits;
mod reply;
mod revocations;
mod selection;
mod server;
mod service;
mod shared_render;
mod slow_clients;
mod snapshot;
mod state_reason;
mod stream_query;
mod stream_views;
mod tap;
mod write_timeout;

pub use context::{AdminContext, ClusterDescription};
pub use health::{Readiness, ReadinessReport};
pub use server::Admin;

use std::net::SocketAddr;

/// The settings of the admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A loopback or cluster-internal address. Default 127.0.0.1:9464.
    pub address: SocketAddr,
    /// Further names of the port, in lower case and without port numbers. Addresses and names that cannot be registered
    /// in the public domain name system are always accepted. Default: none.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9464)), hosts: Vec::new() }
    }
}
