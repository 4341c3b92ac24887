//! Where events come from: the seam between a stream and its upstream.
//!
//! In this module's words, not HTTP's: whoever implements the trait translates. Nothing here waits or retries.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

use crate::runtime::human_duration::format_duration;
use crate::sse::{EventId, Item};

/// The longest that an upstream's wish to be left alone counts for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Something that can be connected to, again and again, for one stream.
pub trait EventSource: Send + Sync {
    /// Opens a connection; `after` is the last completed id of the upstream's own, if it ever sent one.
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<Opened, OpenError>>;

    /// Completes when another attempt would show other credentials than the last one. Cancel-safe.
    fn credentials_changed(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

/// A source that answered.
pub struct Opened {
    /// Everything that comes, as it comes; ends when the upstream ends its response cleanly.
    pub items: BoxStream<'static, Result<Batch, Interrupted>>,
    /// The upstream said that it goes on exactly after the id that was asked for.
    pub is_continued: bool,
    /// The upstream said that it does not: what it has begins somewhere else.
    pub is_gap: bool,
}

/// What one read from the upstream completed. May be empty: then it only shows that the upstream is alive.
#[derive(Debug, Default)]
pub struct Batch {
    /// Items in order. A comment among them is a verdict of an upstream that is a rillgate: `gap` here, or `resumed`.
    pub items: Vec<Item>,
    /// How many bytes were read for them.
    pub bytes: usize,
}

/// Why a source could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The upstream says that there is nothing more to come (204).
    #[error("the upstream says that the stream is complete")]
    Complete,
    /// The upstream knows no such stream (404, 410).
    #[error("the upstream answered {status}")]
    NotFound {
        /// Its status.
        status: u16,
    },
    /// The upstream wants fewer requests (429).
    #[error("the upstream answered 429")]
    RateLimited {
        /// What its `Retry-After` said, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The upstream answered what no event source answers.
    #[error("{0}")]
    InvalidResponse(String),
    /// The upstream answered 5xx.
    #[error("the upstream answered {status}")]
    Unavailable {
        /// Its status.
        status: u16,
        /// What its `Retry-After` said.
        retry_after: Option<Duration>,
    },
    /// The upstream could not be reached: where, and why.
    #[error("{0}")]
    Unreachable(String),
    /// The upstream took the connection and closed it without an answer, as what stands in front of one that is down does.
    #[error("{0}")]
    ClosedEarly(String),
    /// The upstream did not answer in time.
    #[error("the upstream did not answer within {} (open_timeout)", format_duration(*.0))]
    TimedOut(Duration),
}

impl OpenError {
    /// Whether the upstream is down, as opposed to having refused.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unreachable(_) | Self::ClosedEarly(_) | Self::TimedOut(_) => true,
            Self::Complete | Self::NotFound { .. } | Self::RateLimited { .. } | Self::InvalidResponse(_) => false,
        }
    }

    /// How long the upstream wants to be left alone.
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

    /// A short name for metrics.
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

/// Why an open source stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No bytes for the configured time.
    #[error("no bytes from the upstream for {} (idle_timeout)", format_duration(*.0))]
    IdleTimeout(Duration),
    /// There are other credentials to read with. No failure of the upstream's.
    #[error("the upstream's credentials have changed")]
    CredentialsChanged,
}
