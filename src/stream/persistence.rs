//! The seam between a stream and what keeps its log beyond the process.
//!
//! Whoever keeps a log is one more reader of it: it is told that something has changed and takes what is new when it is
//! ready to, from the log itself. So there is no queue between the two, live delivery never waits, and a keeper that is
//! too slow finds a gap and not a hole. Does not know where or how a log is kept.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::entry::Entry;
use super::event_stream::EventStream;
use super::fingerprint::Seed;
use super::log::Offset;
use crate::sse::EventId;

/// Keeps event logs beyond the process.
pub trait LogStore: Send + Sync {
    /// Begins to keep the log of a stream that has just been made. `origin` is a digest of where its events come
    /// from: what is kept is given back only to a stream with an equal key (but for the key's own fingerprint) and origin. Must not block.
    fn keep(&self, stream: &Arc<EventStream>, origin: [u8; 32]) -> Arc<dyn LogPersister>;
}

/// One stream's kept log. No method but [`Self::past`] waits.
pub trait LogPersister: Send + Sync + std::fmt::Debug {
    /// What was kept of the stream. Asked for once, before anything is published. `None`: nothing, or nothing that can be
    /// had in time; the stream then begins anew, and so does what is kept of it.
    fn past(&self) -> BoxFuture<'_, Option<StoredStream>>;

    /// The stream has changed.
    fn changed(&self);

    /// The stream is the one that readers find: it is to be kept, whole and from its log's start, should another that
    /// was opened after it have taken its place. Not after [`Self::close`].
    fn claim(&self);

    /// Up to where it has been kept, for looking at. `None`: it is not kept, another has its place.
    fn kept_until(&self) -> Option<Offset>;

    /// Nothing feeds the stream any more: it is to be put away as it is.
    fn close(&self, stream: Arc<EventStream>);
}

/// What was kept of a stream.
#[derive(Clone, Debug)]
pub struct StoredStream {
    /// Its newest entries.
    pub past: LogSnapshot,
    /// What their fingerprints are keyed with.
    pub seed: Seed,
    /// The epoch of ids that were minted last.
    pub epoch: String,
    /// The upstream's own reconnection time.
    pub retry: Option<Duration>,
    /// Whether it was put away whole. If not, clients may hold ids that were not kept, and minted ids may be in use that
    /// are not known.
    pub is_whole: bool,
    /// How long ago the upstream said that it has said all, if it did.
    pub complete_for: Option<Duration>,
}

/// The past of a stream as it was kept beyond the process: the newest entries of an earlier log.
#[derive(Clone, Debug, Default)]
pub struct LogSnapshot {
    /// The entries, oldest first, without a hole.
    pub entries: Vec<Entry>,
    /// Events that came before them, in the stream's whole life.
    pub events_before: u64,
    /// The id in force before them, for clients.
    pub id_before: EventId,
    /// The id in force before them, for the upstream.
    pub source_id_before: EventId,
    /// Whether a client that has `id_before` lacks these entries and nothing else: that id was brought once, and last.
    pub is_exact: bool,
}

/// How long a client with an id that is not in the log of a stream that was cut off is kept waiting for the upstream to
/// bring that id again, from when the upstream is first connected.
pub const RETURN_PATIENCE: Duration = Duration::from_secs(2);
