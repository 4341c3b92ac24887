//! What a route decides about its streams: how much is kept, whose ids are used, what an end means.

use std::time::Duration;

/// The settings of one stream, the same for all streams of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How much of the past is kept.
    pub retention: Retention,
    /// Whose ids clients see.
    pub ids: Ids,
    /// What it means that the upstream ends its response.
    pub on_end: OnEnd,
    /// How long the upstream is kept after the last subscriber left. Default 30 s.
    pub linger: Duration,
}

/// Bounds of an event log; the oldest events go first when any is passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// Most events. Default 1000, at least 1.
    pub events: usize,
    /// Most encoded bytes. Default 8 MiB. The newest event is kept whatever its size, until it is too old.
    pub bytes: usize,
    /// Oldest age, also of the newest event. Default 10 min.
    pub age: Duration,
}

/// Whose ids clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The upstream's, untouched.
    Keep,
    /// The upstream's; an event without one gets a minted one.
    Fill,
    /// Minted ones for all events.
    Replace,
}

/// What it means that the upstream ends its response cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// An interruption like any other: connect again.
    Reconnect,
    /// The stream has said all.
    Complete,
}

/// Where a client without an id starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the newest event.
    Live,
    /// At the oldest event kept.
    Oldest,
    /// At the n-th newest event.
    Last(usize),
}

/// Where a client starts whose id is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// At the oldest event kept.
    Oldest,
    /// After the newest event.
    Live,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            ids: Ids::Keep,
            on_end: OnEnd::Reconnect,
            linger: Duration::from_secs(30),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 8 * 1024 * 1024, age: Duration::from_secs(600) }
    }
}
