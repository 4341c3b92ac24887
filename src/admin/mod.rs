//! The operator's port: health, metrics, streams, revocations, and a status page.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200, or 503 with the reasons |
//! | `/metrics` | Prometheus text format 0.0.4 |
//! | `/streams` | JSON, all open streams |
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
//! no one, so it must not have a public address; pages of other sites are kept out (see `cross_site`). It knows the
//! gateway through traits only, which the tests of its HTTP behaviour implement themselves.

mod blocking;
mod body;
mod cross_site;
mod health;
mod page;
mod reply;
mod revocations;
mod server;
mod service;
mod snapshot;
mod tap;

pub use health::{Readiness, ReadinessReport};
pub use server::Admin;

use std::net::SocketAddr;

use bytes::Bytes;
use http::StatusCode;

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

/// Views of the gateway's streams and configuration.
pub trait StreamViews: Send + Sync {
    /// Returns all open streams: an array of objects, or an object whose `streams` is that array. `/streams` answers
    /// with it as it is. The status page shows these members of each where present: `route`, `key`, `state`, `since`
    /// (RFC 3339 or Unix seconds), `subscribers`, `events`, `bytes`, `oldest_id`, `newest_id`, `last_error`.
    ///
    /// Called off the runtime's workers, so it may block; at most once a second for all status pages.
    fn streams(&self) -> serde_json::Value;

    /// Returns the open stream that `/streams` shows under this route and key, with its slowest clients, or `None`.
    /// Called off the runtime's workers.
    fn stream(&self, route: &str, key: &str) -> Option<serde_json::Value>;

    /// Starts to tap that stream at its present end. Called off the runtime's workers.
    fn tap(&self, route: &str, key: &str) -> Option<Box<dyn TapFrames>>;

    /// Returns the running configuration without secrets.
    fn config(&self) -> serde_json::Value;
}

/// The events of one stream as they arrive.
pub trait TapFrames: Send {
    /// Returns the pieces of the event stream since the last call, about `bytes` at most, or `None` at the end of the
    /// stream. Does not block.
    fn take(&mut self, bytes: usize) -> Option<Vec<Bytes>>;
}

/// Operations on the revocations. All of them are called off the runtime's workers.
pub trait RevocationActions: Send + Sync {
    /// Validates and applies a posted body of at most 64 KiB. Returns the status and the JSON of the response.
    fn revoke(&self, body: Bytes) -> (StatusCode, serde_json::Value);

    /// Returns a page of the revocations: the one after the id `after`, or the first.
    ///
    /// # Errors
    /// The status and detail of the response.
    fn list(&self, after: Option<&str>) -> Result<serde_json::Value, (StatusCode, String)>;

    /// Removes the revocation of this id.
    ///
    /// # Errors
    /// The status and detail of the response.
    fn restore(&self, id: &str) -> Result<(), (StatusCode, String)>;
}
