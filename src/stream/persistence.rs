//! The interface between a stream and the storage of its log.
//!
//! A persister is one more reader of the log. It is notified of changes and reads the new entries when it is ready.
//! There is no queue between the two, and live delivery never waits. A persister that falls behind finds a gap, never a
//! hole. This file does not know where or how a log is stored.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::log::{LogSnapshot, Offset, Seed};

/// The storage of one stream's log. Only [`Self::load`] waits.
pub trait LogPersister: Send + Sync + std::fmt::Debug {
    /// Returns the stored state of the stream. Called at most once, before anything is published. Returns `None` if nothing is
    /// stored or it cannot be loaded in time; the stream then starts anew, and so does its stored log.
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>>;

    /// Notifies that the log or the phase has changed.
    fn notify_changed(&self);

    /// Returns the offset up to which the log is stored, for the operator. Returns `None` if the stream is closed.
    fn persisted_until(&self) -> Option<Offset>;

    /// Stores the final state. Called when no reader can find the stream any more, while it is still alive. Later changes
    /// are not stored. A second call has no effect.
    fn close(&self);
}

/// The stored state of a stream.
#[derive(Clone, Debug)]
pub struct StoredStream {
    /// The newest entries.
    pub snapshot: LogSnapshot,
    /// The seed of the entries' fingerprints.
    pub seed: Seed,
    /// The epoch of the ids that were minted last.
    pub epoch: String,
    /// The reconnection time that the upstream last sent.
    pub retry: Option<Duration>,
    /// True after a clean shutdown. Otherwise clients may hold ids that were not stored, and unknown minted ids may be
    /// in use.
    pub is_clean: bool,
    /// The time since the upstream ended the stream, if it did.
    pub complete_for: Option<Duration>,
    /// True if a client stopped the stream before its end.
    pub is_stopped: bool,
}
