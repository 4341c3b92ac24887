//! Limits that bound the number of streams only.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rillgate_interleavings::limits::{Limits, SharedLimits, StreamOpenRates, SubjectOverflow};

/// Returns limits with room for `streams` open streams.
pub fn with_streams(streams: usize) -> SharedLimits {
    Arc::new(ArcSwap::from_pointee(Limits {
        connections: usize::MAX,
        connections_per_ip: usize::MAX,
        subscriptions_per_ip: usize::MAX,
        streams_per_ip: usize::MAX,
        stream_opens_per_second: StreamOpenRates { ip: u32::MAX, route: u32::MAX },
        ip6_prefix: 64,
        reserved_files: 0,
        subscribers: usize::MAX,
        streams,
        h2_streams: u32::MAX,
        handshake_timeout: Duration::MAX,
        header_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        header_bytes: usize::MAX,
        token_bytes: usize::MAX,
        headers: usize::MAX,
        stall_timeout: Duration::MAX,
        send_buffer: usize::MAX,
        memory: None,
        subscriptions_per_subject: usize::MAX,
        subject_overflow: SubjectOverflow::Refuse,
        resets_per_connection: u32::MAX,
        accepts_per_second: u32::MAX,
        forwarded_requests: 1,
        forwarded_requests_per_ip: 1,
        post_body_bytes_per_ip: 1,
        handshakes_per_second: u32::MAX,
    }))
}
