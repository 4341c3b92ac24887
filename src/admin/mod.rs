//! The operator's port: health, metrics, streams, revocations, and a status page.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200, or 503 with the reasons |
//! | `/metrics` | Prometheus text format 0.0.4 |
//! | `/streams` | JSON, what the gateway says of its open streams |
//! | `/streams/ROUTE/KEY` | JSON, one of them with its slowest clients |
//! | `/tap/ROUTE/KEY` | one of them as it flows, as an event stream; no subscriber |
//! | `/config` | JSON, the running configuration without its secrets |
//! | `GET`, `PUT /log-level` | the filter of the log, at most 4 KiB |
//! | `GET /revocations?after=ID` | JSON, what is revoked, a page of it |
//! | `POST /revocations` | revokes: handed to the gateway, at most 64 KiB |
//! | `DELETE /revocations/ID` | takes a revocation back |
//! | `/` | a status page, fed by `/events`, an event stream of one JSON snapshot per second |
//!
//! Everything here is bounded: connections, their age, request heads and bodies, viewers of the page. Nobody is
//! authenticated here, so it never belongs on a public address, and pages of other sites are kept out (see `cross_site`). It
//! knows the gateway through traits only.

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

/// Where the admin port listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A loopback or cluster-internal address. Default 127.0.0.1:9464.
    pub address: SocketAddr,
    /// Names in lower case, without ports, that a request may call the port by, besides addresses and names that cannot
    /// be registered in the public domain name system. Default: none.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9464)), hosts: Vec::new() }
    }
}

/// What the gateway tells of its streams.
pub trait StreamViews: Send + Sync {
    /// All open streams: an array of objects, or an object whose `streams` is that array. `/streams` answers it as
    /// it is. The status page shows these members of each where present: `route`, `key`, `state`, `since`
    /// (RFC 3339 or Unix seconds), `subscribers`, `events`, `bytes`, `oldest_id`, `newest_id`, `last_error`.
    ///
    /// Called off the runtime's workers, so it may take a while; at most once a second for all status pages.
    fn streams(&self) -> serde_json::Value;

    /// The open stream of this route that `/streams` shows under this key, with its slowest clients. `None`: there is
    /// none. Called off the runtime's workers.
    fn stream(&self, route: &str, key: &str) -> Option<serde_json::Value>;

    /// A look at that stream as it flows, from now on. Called off the runtime's workers.
    fn tap(&self, route: &str, key: &str) -> Option<Box<dyn TapFrames>>;

    /// The running configuration, without secrets.
    fn config(&self) -> serde_json::Value;
}

/// A look at one stream.
pub trait TapFrames: Send {
    /// What has come since the last look, as pieces of an event stream; about `bytes` at most. `None`: the stream is
    /// over. Does not block.
    fn take(&mut self, bytes: usize) -> Option<Vec<Bytes>>;
}

/// What revokes permissions and takes that back. Everything is called off the runtime's workers.
pub trait RevocationActions: Send + Sync {
    /// Judges and applies a posted body, at most 64 KiB; the status and the JSON are the answer.
    fn revoke(&self, body: Bytes) -> (StatusCode, serde_json::Value);

    /// A page of what is revoked: that after the id `after`, or the first one.
    ///
    /// # Errors
    /// A status and a sentence.
    fn list(&self, after: Option<&str>) -> Result<serde_json::Value, (StatusCode, String)>;

    /// Takes the revocation of this id back.
    ///
    /// # Errors
    /// A status and a sentence.
    fn restore(&self, id: &str) -> Result<(), (StatusCode, String)>;
}
