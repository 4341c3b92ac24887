//! The values of the labels whose sets are fixed.
//!
//! Each enum's `ALL` lists its variants in the order of their discriminants, so a variant indexes an array of
//! handles. Does not know which metric uses which label: see the catalogue.

/// The HTTP version that a client speaks; label `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1: `h1`.
    Http1,
    /// HTTP/2: `h2`.
    Http2,
}

/// How a subscription began; label `verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerdictLabel {
    /// No id was sent and the route starts live.
    Live,
    /// No id was sent and the route starts from history.
    Replay,
    /// The id is in the log.
    Resumed,
    /// Continuity is broken.
    Gap,
    /// It ended before that was known.
    Pending,
}

/// Why a subscription ended; label `reason` of `subscriptions_ended_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client left.
    Client,
    /// The token expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The response reached the route's largest age.
    MaxAge,
    /// The gateway is draining.
    Drain,
    /// The client fell off the event log.
    Lagged,
    /// Another subscription of the same subject got its place.
    Replaced,
    /// The client took no bytes for the stall timeout.
    Stalled,
    /// The stream has said all.
    Complete,
    /// The client asked for so many events, or for no live ones.
    Limit,
    /// Anything else that went wrong.
    Error,
}

/// What a stream's upstream connection is doing; label `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamState {
    /// The first connect is under way.
    Opening,
    /// Connected.
    Live,
    /// Connecting again after a loss.
    Retrying,
    /// The stream has said all and is kept for replay.
    Complete,
    /// Connecting again after the same error at the same place, more than once.
    Stuck,
}

impl Protocol {
    pub(super) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// The label's value: `h1` or `h2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

impl VerdictLabel {
    pub(super) const ALL: [Self; 5] = [Self::Live, Self::Replay, Self::Resumed, Self::Gap, Self::Pending];

    /// The label's value.
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

impl EndReason {
    pub(super) const ALL: [Self; 11] = [
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
    ];

    /// The label's value.
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
        }
    }
}

impl StreamState {
    pub(super) const ALL: [Self; 5] = [Self::Opening, Self::Live, Self::Retrying, Self::Complete, Self::Stuck];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Retrying => "retrying",
            Self::Complete => "complete",
            Self::Stuck => "stuck",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_stands_at_its_own_index() {
        assert!(Protocol::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(VerdictLabel::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(EndReason::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(StreamState::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }
}
