//! The gateway-wide limits of the `[limits]` table.
//!
//! Every limit has a finite default and a finite upper bound. They are declared in `config/tables/server.rs`. Each limit
//! is enforced where the limited resource is created.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

/// The limits in force. A reload replaces them for everything that holds this handle.
pub type SharedLimits = Arc<ArcSwap<Limits>>;

/// The gateway-wide limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Open client connections, on all listeners together.
    pub connections: usize,
    /// Open client connections from one address, see [`Limits::network`].
    pub connections_per_ip: usize,
    /// Open subscriptions of one address, over any number of connections.
    pub subscriptions_per_ip: usize,
    /// Forwarded requests in progress.
    pub forwarded_requests: usize,
    /// Forwarded requests in progress of one address.
    pub forwarded_requests_per_ip: usize,
    /// Bytes of the bodies of one address's `POST`s that have not been sent upstream.
    pub post_body_bytes_per_ip: usize,
    /// Open streams that only one address has read.
    pub streams_per_ip: usize,
    /// The rate at which requests may open streams.
    pub stream_opens_per_second: StreamOpenRates,
    /// The length of the IPv6 prefix that counts as one address, in bits (1 to 128).
    pub ip6_prefix: u8,
    /// File descriptors that client connections leave to upstreams, keys and the admin port.
    pub reserved_files: usize,
    /// Open subscriptions, on all streams together.
    pub subscribers: usize,
    /// Open streams. Each has one upstream connection.
    pub streams: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Time limit for a TLS handshake, and for the HTTP/2 preface.
    pub handshake_timeout: Duration,
    /// Time limit for receiving a complete request head.
    pub header_timeout: Duration,
    /// Time after which a kept-alive connection without a request is closed.
    pub idle_timeout: Duration,
    /// Maximum size of a request head in bytes.
    pub header_bytes: usize,
    /// Maximum length of a token in bytes.
    pub token_bytes: usize,
    /// Maximum number of header fields in a request.
    pub headers: usize,
    /// Time after which a client that reads none of the bytes waiting for it is disconnected.
    pub stall_timeout: Duration,
    /// Maximum number of unsent bytes buffered for one client outside the shared event log.
    pub send_buffer: usize,
    /// Memory bound in bytes. Event logs together evict their oldest events above it, and new subscriptions are refused
    /// while the process's resident memory is above it. `None` if it was configured as a percentage and the system does
    /// not report its memory.
    pub memory: Option<u64>,
    /// Open subscriptions of one token subject. A token without a subject counts by its claims.
    pub subscriptions_per_subject: usize,
    /// The treatment of a subscription beyond `subscriptions_per_subject`.
    pub subject_overflow: SubjectOverflow,
    /// HTTP/2 streams of one connection that its client may reset, or whose requests may be refused, per minute.
    pub resets_per_connection: u32,
    /// Connections accepted per second.
    pub accepts_per_second: u32,
    /// TLS handshakes started per second.
    pub handshakes_per_second: u32,
}

/// The rates at which requests open streams, per second. Reconnections of an open stream do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOpenRates {
    /// Streams that one address opens.
    pub ip: u32,
    /// Streams that are opened on one route.
    pub route: u32,
}

impl Limits {
    /// Returns the part of an address that is counted: an IPv4 address as a whole, the prefix of an IPv6 address. A client
    /// usually has a whole /64 (RFC 6177).
    pub fn network(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.ip6_prefix.min(128))).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        }
    }
}

/// The treatment of a new subscription of a subject at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectOverflow {
    /// The subscription is refused with 429.
    Refuse,
    /// The subscription replaces an older one of the same subject.
    Replace,
}
