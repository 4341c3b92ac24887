//! The labels with a fixed set of values.
//!
//! Each enum's `ALL` lists its variants in the order of their discriminants, so a variant indexes an array of handles.
//! The catalogue says which metric uses which label.

/// The HTTP version of a client. Label `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1: `h1`.
    Http1,
    /// HTTP/2: `h2`.
    Http2,
}

/// The start of a subscription, as told to the client. Label `verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerdictLabel {
    /// The client sent no id and the route starts live.
    Live,
    /// The client sent no id and the route starts from history.
    Replay,
    /// The log contains the id.
    Resumed,
    /// Continuity is broken.
    Gap,
    /// The subscription ended before its verdict was known.
    Pending,
}

/// The content coding of a response. Label `coding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodingLabel {
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

/// The reason for the end of a subscription. Label `reason` of `subscriptions_ended_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client disconnected.
    Client,
    /// The token expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The response reached the route's maximum age.
    MaxAge,
    /// The gateway is draining.
    Drain,
    /// The client's next event was evicted from the log.
    Lagged,
    /// Another subscription of the same subject took the permit.
    Replaced,
    /// The client took no bytes for the stall timeout.
    Stalled,
    /// The stream is complete.
    Complete,
    /// The client asked for a number of events, or for no live ones.
    Limit,
    /// Any other failure.
    Error,
    /// A client stopped the stream.
    Stopped,
}

/// The state of a stream's upstream connection. Label `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamState {
    /// The first connection attempt is in progress.
    Opening,
    /// Connected.
    Live,
    /// Reconnecting after a loss.
    Retrying,
    /// The stream is complete and kept for replay.
    Complete,
    /// Reconnecting after the same error at the same position, more than once.
    Stuck,
    /// Ended before its end and kept for replay.
    Incomplete,
}

/// A resource that owners share. Label `room` of `shares_refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Room {
    /// Open client connections of an address.
    Connections,
    /// Open subscriptions of an address or of a token's subject.
    Subscriptions,
    /// Streams that only one address reads.
    Streams,
    /// New streams a second, of an address or of a route.
    StreamOpens,
    /// Forwarded requests in progress, of an address.
    ForwardedRequests,
    /// Bytes of bodies that open streams, of an address.
    PostBodies,
    /// TLS handshakes of an address.
    Handshakes,
    /// Connection attempts to one upstream.
    UpstreamConnects,
    /// Requests for the history of one route's upstream, of one client.
    ReadThrough,
    /// Bytes of one route's streams on disk.
    Store,
    /// File descriptors that are left to client connections.
    Files,
    /// Fetches of an issuer's keys that unknown keys ask for.
    JwksFetches,
    /// Connections to the admin port.
    Admin,
    /// Name resolutions of one upstream.
    Dns,
}

impl Protocol {
    pub(super) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// Returns the label's value: `h1` or `h2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

impl VerdictLabel {
    pub(super) const ALL: [Self; 5] = [Self::Live, Self::Replay, Self::Resumed, Self::Gap, Self::Pending];

    /// Returns the label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Resumed => "resumed",
            Self::Gap => "gap",
            Self::Pending => "pending",
        }
    }
}

impl CodingLabel {
    pub(super) const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl EndReason {
    pub(super) const ALL: [Self; 12] = [
        Self::Client,
        Self::Expired,
        Self::Revoked,
        Self::MaxAge,
        Self::Drain,
        Self::Lagged,
        Self::Replaced,
        Self::Stalled,
        Self::Complete,
        Self::Limit,
        Self::Error,
        Self::Stopped,
    ];

    /// Returns the label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::MaxAge => "max_age",
            Self::Drain => "drain",
            Self::Lagged => "lagged",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
            Self::Complete => "complete",
            Self::Limit => "limit",
            Self::Error => "error",
            Self::Stopped => "stopped",
        }
    }
}

impl StreamState {
    /// All states, in the order of their discriminants.
    pub const ALL: [Self; 6] =
        [Self::Opening, Self::Live, Self::Retrying, Self::Complete, Self::Stuck, Self::Incomplete];

    /// Returns the label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Retrying => "retrying",
            Self::Complete => "complete",
            Self::Stuck => "stuck",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Room {
    pub(super) const ALL: [Self; 14] = [
        Self::Connections,
        Self::Subscriptions,
        Self::Streams,
        Self::StreamOpens,
        Self::ForwardedRequests,
        Self::PostBodies,
        Self::Handshakes,
        Self::UpstreamConnects,
        Self::ReadThrough,
        Self::Store,
        Self::Files,
        Self::JwksFetches,
        Self::Admin,
        Self::Dns,
    ];

    /// Returns the label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Subscriptions => "subscriptions",
            Self::Streams => "streams",
            Self::StreamOpens => "stream_opens",
            Self::ForwardedRequests => "forwarded_requests",
            Self::PostBodies => "post_bodies",
            Self::Handshakes => "handshakes",
            Self::UpstreamConnects => "upstream_connects",
            Self::ReadThrough => "read_through",
            Self::Store => "store",
            Self::Files => "files",
            Self::JwksFetches => "jwks_fetches",
            Self::Admin => "admin",
            Self::Dns => "dns",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_at_its_own_index() {
        assert!(Protocol::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(VerdictLabel::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(EndReason::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(Room::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(StreamState::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }
}
