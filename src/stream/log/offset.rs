//! Offsets in a log, and the results of looking them up.

/// A position between two entries. Everything before it has been read. The first offset of a stream is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(pub u64);

impl Offset {
    /// The largest offset, which no log reaches.
    pub const UNREACHED: Self = Self(u64::MAX);
}

/// The reader fell off the log: entries between its offset and the log's start have been evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    /// The number of events that it has missed.
    pub missed: u64,
}

/// The result of looking up an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdLookup {
    /// The id is in the log. The offset is the one after its oldest occurrence.
    Found(Offset),
    /// The id was in the log and has been evicted.
    Evicted,
    /// The id was never in the log, or so long ago that it has been forgotten.
    Unknown,
}
