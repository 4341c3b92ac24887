//! The source of a stream's events: the interface between a stream and its upstream.
//!
//! Nothing here waits or retries; the ingest does. An implementation translates the upstream's protocol into these
//! types.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

use crate::runtime::human_duration::format_duration;
use crate::sse::{EventId, Item};

/// The maximum for an upstream's `Retry-After`. Longer values count as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// An upstream for one stream, to which connections can be opened one after the other.
pub trait EventSource: Send + Sync {
    /// Opens a connection. `after` is the last completed id that the upstream itself sent, if any.
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<Opened, OpenError>>;

    /// Completes when the next attempt would use other credentials than the last one. Cancel-safe.
    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

/// An open connection.
pub struct Opened {
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
    /// The items in order. A comment among them is the verdict of an upstream that is itself a rillgate: `gap` or
    /// `resumed`.
    pub items: Vec<Item>,
    /// The number of bytes read.
    pub bytes: usize,
}

/// The reason why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The upstream has ended the stream (204).
    #[error("the upstream has ended the stream")]
    Complete,
    /// The upstream has no such stream (404, 410).
    #[error("the upstream answered {status}")]
    NotFound {
        /// The status code.
        status: u16,
    },
    /// The upstream limits the rate of requests (429).
    #[error("the upstream answered 429")]
    RateLimited {
        /// The upstream's `Retry-After`, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The response is not an event stream.
    #[error("{0}")]
    InvalidResponse(String),
    /// The upstream is temporarily unavailable (5xx).
    #[error("the upstream answered {status}")]
    Unavailable {
        /// The status code.
        status: u16,
        /// The upstream's `Retry-After`, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The upstream is unreachable. Holds the address and the cause.
    #[error("{0}")]
    Unreachable(String),
    /// The upstream accepted the connection and closed it without a response. Load balancers do so when their backend
    /// is down.
    #[error("{0}")]
    ClosedEarly(String),
    /// The upstream did not respond in time.
    #[error("the upstream did not answer within {} (open_timeout)", format_duration(*.0))]
    TimedOut(Duration),
}

impl OpenError {
    /// Returns true if the upstream is down, false if it answered with a refusal.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unreachable(_) | Self::ClosedEarly(_) | Self::TimedOut(_) => true,
            Self::Complete | Self::NotFound { .. } | Self::RateLimited { .. } | Self::InvalidResponse(_) => false,
        }
    }

    /// Returns the upstream's `Retry-After`, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Complete
            | Self::NotFound { .. }
            | Self::InvalidResponse(_)
            | Self::Unreachable(_)
            | Self::ClosedEarly(_)
            | Self::TimedOut(_) => None,
        }
    }

    /// Returns the label of the error in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NotFound { .. } => "not_found",
            Self::RateLimited { .. } => "busy",
            Self::InvalidResponse(_) => "wrong",
            Self::Unavailable { .. } => "failing",
            Self::Unreachable(_) => "unreachable",
            Self::ClosedEarly(_) => "dropped",
            Self::TimedOut(_) => "silent",
        }
    }
}

/// The reason why an open connection ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No bytes arrived within `idle_timeout`.
    #[error("no bytes from the upstream for {} (idle_timeout)", format_duration(*.0))]
    IdleTimeout(Duration),
    /// The credentials have changed. Not a failure of the upstream.
    #[error("the upstream's credentials have changed")]
    CredentialsChanged,
}
