//! The step before the log. It decides the order of a stream's entries, and when readers may have them.
//!
//! ```text
//!  EventSource ──▶ ReconnectDedup ──▶ commit ──▶ EventLog ──▶ readers
//! ```

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::stream::log::Entry;

/// The step between a stream's ingest and its log. Chosen when the stream is opened.
#[derive(Clone, Default)]
pub enum StreamFeed {
    /// The stream's own ingest. It appends at once.
    #[default]
    Alone,
    /// The stream's own ingest, which appends what this accepts.
    Committed(Arc<dyn Commit>),
}

/// Decides the order of one stream's entries.
pub trait Commit: Send + Sync {
    /// Accepts the first of these entries after all earlier ones, as a whole or not at all. Returns how many, at least 1;
    /// the ingest appends them and comes back with the rest. No reader is told of them before. The ingest makes one call
    /// at a time, and reads nothing from the upstream meanwhile. Dropping the future leaves open whether they are
    /// accepted; nothing follows them then.
    ///
    /// # Errors
    /// [`Fenced`] if something else feeds the stream by now. None of the entries is appended.
    fn commit<'c>(&'c self, entries: &'c [Entry]) -> BoxFuture<'c, Result<usize, Fenced>>;

    /// Notes that the upstream is connected, before readers are told. Default: nothing to do.
    ///
    /// # Errors
    /// [`Fenced`], as for [`Self::commit`].
    fn opened(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Notes that the upstream has ended the stream, before readers are told. Default: nothing to do.
    ///
    /// # Errors
    /// [`Fenced`], as for [`Self::commit`].
    fn completed(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Notes that the stream has ended before its end, because its request must not be repeated, before readers are told.
    /// Default: nothing to do.
    ///
    /// # Errors
    /// [`Fenced`], as for [`Self::commit`].
    fn broken(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Returns the most bytes that an entry may have, its ids included. A larger one is left out, and a gap told in its
    /// place. Default: any number.
    fn max_entry(&self) -> usize {
        usize::MAX
    }
}

/// Something else feeds the stream. This ingest must not append any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is fed by another gateway")]
pub struct Fenced;

impl fmt::Debug for StreamFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "Alone",
            Self::Committed(_) => "Committed",
        })
    }
}
