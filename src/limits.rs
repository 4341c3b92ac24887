//! The gateway-wide limits of the `[limits]` table.
//!
//! Every limit has a default and none of them is "unlimited". This file holds the numbers only; each is enforced where
//! the thing it limits is made.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

/// The limits in force. A reload replaces them for everything that holds this handle.
pub type SharedLimits = Arc<ArcSwap<Limits>>;

/// How much of each thing the gateway lets in. The defaults are those of the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Open client connections, all listeners together.
    pub connections: usize,
    /// Open client connections from one address.
    pub connections_per_ip: usize,
    /// Open subscriptions, all streams together.
    pub subscribers: usize,
    /// Distinct open streams, that is upstream connections.
    pub streams: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub h2_streams: u32,
    /// A TLS handshake, and the HTTP/2 preface, must be complete within this.
    pub handshake_timeout: Duration,
    /// A complete request head must have come within this.
    pub header_timeout: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// Most bytes in a request head.
    pub header_bytes: usize,
    /// Longest token.
    pub token_bytes: usize,
    /// Most fields in a request head.
    pub headers: usize,
    /// A client that takes no bytes for this long, while some are waiting, is cut off.
    pub stall_timeout: Duration,
    /// Most unsent bytes held for one client outside the shared event log.
    pub send_buffer: usize,
    /// Resident memory above which new subscriptions are refused.
    pub memory: Memory,
    /// Open subscriptions of one token subject.
    pub subscriptions_per_subject: usize,
    /// What happens to one more.
    pub subject_overflow: SubjectOverflow,
    /// HTTP/2 streams of one connection that its client resets in a minute.
    pub resets_per_connection: u32,
    /// Connections accepted in a second.
    pub accepts_per_second: u32,
    /// TLS handshakes begun in a second.
    pub handshakes_per_second: u32,
}

/// A memory bound, absolute or relative to what the machine or its control group offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// This many bytes.
    Bytes(u64),
    /// This share (1 to 100) of the control group's limit, or of the machine's memory where there is none.
    Percent(u8),
}

/// What a subject at its limit gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectOverflow {
    /// 429.
    Refuse,
    /// The place of an older subscription of its own.
    Replace,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_ip: 1000,
            subscribers: 100_000,
            streams: 10_000,
            h2_streams: 250,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            header_bytes: 32 * 1024,
            token_bytes: 16 * 1024,
            headers: 100,
            stall_timeout: Duration::from_secs(30),
            send_buffer: 16 * 1024,
            memory: Memory::Percent(80),
            subscriptions_per_subject: 100,
            subject_overflow: SubjectOverflow::Refuse,
            resets_per_connection: 1000,
            accepts_per_second: 10_000,
            handshakes_per_second: 2000,
        }
    }
}
