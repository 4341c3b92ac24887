//! The seam between a stream and what keeps its log beyond the process.
//!
//! Whoever keeps a log is one more reader of it: it is told that something has changed and takes what is new when it is
//! ready to, from the log itself. So there is no queue between the two, live delivery never waits, and a keeper that is
//! too slow finds a gap and not a hole. Does not know where or how a log is kept.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::log::{LogSnapshot, Offset, Seed};

/// One stream's kept log. No method but [`Self::past`] waits.
pub trait LogPersister: Send + Sync + std::fmt::Debug {
    /// What was kept of the stream. Asked for once, before anything is published. `None`: nothing, or nothing that can be
    /// had in time; the stream then begins anew, and so does what is kept of it.
    fn load(&self) -> BoxFuture<'_, Option<StoredStream>>;

    /// The stream has changed.
    fn notify_changed(&self);

    /// The stream is the one that readers find: it is to be kept, whole and from its log's start, should another that
    /// was opened after it have taken its place. Not after [`Self::close`].
    fn take_over(&self);

    /// Up to where it has been kept, for looking at. `None`: it is not kept, another has its place.
    fn persisted_until(&self) -> Option<Offset>;

    /// Nothing feeds the stream any more: it is to be put away as it is.
    fn close(&self);
}

/// What was kept of a stream.
#[derive(Clone, Debug)]
pub struct StoredStream {
    /// Its newest entries.
    pub snapshot: LogSnapshot,
    /// What their fingerprints are keyed with.
    pub seed: Seed,
    /// The epoch of ids that were minted last.
    pub epoch: String,
    /// The upstream's own reconnection time.
    pub retry: Option<Duration>,
    /// Whether it was put away whole. If not, clients may hold ids that were not kept, and minted ids may be in use that
    /// are not known.
    pub is_clean: bool,
    /// How long ago the upstream said that it has said all, if it did.
    pub complete_for: Option<Duration>,
}
