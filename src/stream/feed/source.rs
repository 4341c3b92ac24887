//! The source of a stream's events: the interface between a stream and its upstream.
//!
//! Nothing here waits or retries; the ingest does. An implementation translates the upstream's protocol into these
//! types.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

use super::open_error::OpenError;
use super::source_answer::SourceAnswer;
use crate::runtime::human_duration::format_duration;
use crate::sse::{EventId, Item};

/// An upstream for one stream, to which connections can be opened one after the other.
pub trait EventSource: Send + Sync {
    /// Opens a connection. `after` is an id that the upstream itself sent, if any.
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>>;

    /// Returns true if a reconnect should ask after this id, the one before the last event with an id. The upstream then
    /// sends the last event again, which proves that nothing was missed. Default: false, ask after the last event.
    fn can_overlap_after(&self, _id: &EventId) -> bool {
        false
    }

    /// Completes when the next attempt would use other credentials than the last one. The stream then closes an open
    /// connection and opens another one. Cancel-safe.
    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    /// Returns true if there is something to send. False once a request that must not be repeated has been sent.
    /// Default: true.
    fn can_open(&self) -> bool {
        true
    }

    /// Gives up a request that must not be repeated, because another gateway sends one like it. Default: nothing to do.
    fn discard(&self) {}
}

/// The outcome of an attempt that the upstream answered.
pub enum OpenOutcome {
    /// The stream is open.
    Stream(Opened),
    /// The upstream answered with something else. The connection is closed.
    Answer(SourceAnswer),
}

impl OpenOutcome {
    /// Returns the open stream.
    ///
    /// # Errors
    /// The answer, as the reason for which there is none.
    pub fn into_stream(self) -> Result<Opened, OpenError> {
        match self {
            Self::Stream(opened) => Ok(opened),
            Self::Answer(answer) => Err(answer.into()),
        }
    }
}

/// An open connection.
pub struct Opened {
    /// The items that the source already has, oldest first. They enter the log before the stream is live, so that the
    /// first readers can resume in them. After a reconnect they may repeat what the log has. The source bounds them.
    pub retained: Vec<Item>,
    /// The items as they arrive. Ends when the upstream ends its response cleanly.
    pub items: BoxStream<'static, Result<Batch, Interrupted>>,
    /// The upstream's statement about the requested id.
    pub continuity: Continuity,
}

/// An upstream's statement about the position at which its response begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It continues right after the requested id.
    Continued,
    /// It does not continue after the requested id.
    Gap,
    /// It states nothing.
    Unknown,
}

/// The items completed by one read from the upstream. An empty batch shows that the upstream is alive.
#[derive(Debug, Default)]
pub struct Batch {
    /// The items in order. A comment among them is the verdict of an upstream that is itself a rillgate: `gap`, with its
    /// reason, or `resumed`.
    pub items: Vec<Item>,
    /// The number of bytes read.
    pub bytes: usize,
    /// The bytes that the source holds of an event that is not complete.
    pub incomplete: usize,
    /// The most bytes that the source's connection receives while nothing reads it.
    pub window: usize,
}

/// The reason why an open connection ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The upstream refused the request in the stream, because its head had been sent before.
    #[error("{0}")]
    Refused(OpenError),
    /// No bytes arrived within `idle_timeout`.
    #[error("no bytes from the upstream for {} (idle_timeout)", format_duration(*.0))]
    IdleTimeout(Duration),
}
