//! Places in a log: where readers stand, where ids are, what is gone.

/// A place between two entries: everything before it has been read. The first place of a stream is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// A reader fell off the log: entries between its place and the log's start are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    /// How many events it can no longer have.
    pub missed: u64,
}

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdLookup {
    /// Its oldest occurrence ends here: what follows comes after it.
    Found(Offset),
    /// It was here and has been evicted.
    Evicted,
    /// It was never here, as far as we remember.
    Unknown,
}
