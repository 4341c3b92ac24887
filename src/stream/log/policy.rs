//! The settings that a route gives to its streams.

use std::time::Duration;

use crate::runtime::backoff::Backoff;

/// The settings of a stream that do not decide which events it has. All streams of a route have the same, and a reload
/// replaces them while the streams are open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The bounds of the event log.
    pub retention: Retention,
    /// The place of the event log. Default in memory. A log that is stored stays so until its stream is closed.
    pub storage: LogStorage,
    /// The meaning of an upstream that ends its response. Default [`OnEnd::Reconnect`].
    pub on_end: OnEnd,
    /// The time for which the stream is kept after its last subscriber has left. Default 30 s.
    pub linger: Duration,
    /// The form of the gaps in the stream. Default a comment.
    pub verdict: VerdictForm,
    /// The delays between attempts to connect to the upstream.
    pub backoff: Backoff,
}

/// The bounds of an event log. The oldest events are evicted when any bound is exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// The maximum number of events. Default 1000, at least 1.
    pub events: usize,
    /// The maximum number of encoded bytes. Default 8 MiB. The newest event is kept whatever its size.
    pub bytes: usize,
    /// The maximum age, which applies to the newest event too. Default 10 min.
    pub age: Duration,
}

/// The place of an event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStorage {
    /// Memory only.
    Memory,
    /// Memory and disk: the log survives a restart.
    Disk,
    /// Memory and an engine that several gateways share: all of them have the same log. Memory only, where there is none.
    Cluster,
}

/// The form of verdicts in the stream: the outcome of a resume, and later gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictForm {
    /// Not in the stream, only in the response header.
    Off,
    /// A comment.
    Comment,
    /// A comment; a gap is an event as well.
    Gap,
    /// An event.
    Event,
}

/// The ids that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The upstream's ids, unchanged.
    Keep,
    /// The upstream's ids, and minted ids for events without one.
    Fill,
    /// Minted ids for all events.
    Replace,
}

/// The meaning of an upstream that ends its response cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// An interruption: connect again.
    Reconnect,
    /// The end of the stream.
    Complete,
}

/// The starting point of a client without an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the newest event.
    Live,
    /// At the oldest retained event.
    Oldest,
    /// At the n-th newest event.
    Last(usize),
}

/// The starting point of a client whose id is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// At the oldest retained event.
    Oldest,
    /// After the newest event.
    Live,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            storage: LogStorage::Memory,
            on_end: OnEnd::Reconnect,
            linger: Duration::from_secs(30),
            verdict: VerdictForm::Comment,
            backoff: Backoff::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 8 * 1024 * 1024, age: Duration::from_secs(600) }
    }
}
