//! Readers as the operator sees them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::stream::log::Offset;

/// A reader as the operator sees it.
#[derive(Clone, Debug)]
pub struct ReaderInfo {
    /// Its position.
    pub next: Offset,
    /// The number of events before it, from the beginning of the stream.
    pub read: u64,
    /// The time at which it subscribed.
    pub since: SystemTime,
    /// Its client, if known.
    pub client: Option<Client>,
}

/// The details of a client. At most a few hundred bytes.
#[derive(Clone, Debug)]
pub struct Client {
    /// The IP address.
    pub address: IpAddr,
    /// The HTTP version.
    pub protocol: &'static str,
    /// The token's subject, if it may be shown.
    pub subject: Option<Arc<str>>,
    /// The id of its request.
    pub request_id: Arc<str>,
}
