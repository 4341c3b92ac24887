//! The reasons why a source could not be opened, in words that fit any protocol.
//!
//! Each holds the source's own text for the operator, which names what the upstream answered.

use std::time::Duration;

use crate::runtime::human_duration::format_duration;

/// The maximum for an upstream's wish to be asked later. Longer ones count as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The reason why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The upstream has ended the stream.
    #[error("the upstream has ended the stream")]
    Complete,
    /// The upstream has no such stream.
    #[error("{0}")]
    NotFound(String),
    /// The upstream limits the rate of requests.
    #[error("{reason}")]
    RateLimited {
        /// The source's text.
        reason: String,
        /// The time after which the upstream wants to be asked again, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The upstream's answer is not the stream.
    #[error("{0}")]
    Invalid(String),
    /// The upstream says that it is temporarily unavailable.
    #[error("{reason}")]
    Unavailable {
        /// The source's text.
        reason: String,
        /// The time after which the upstream wants to be asked again, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The upstream is unreachable. Holds the address and the cause.
    #[error("{0}")]
    Unreachable(String),
    /// The upstream accepted the connection and closed it without an answer. Load balancers do so when their backend
    /// is down.
    #[error("{0}")]
    ClosedEarly(String),
    /// The gateways that share the stream cannot agree now, because their engine is away. Holds the cause.
    #[error("{0}")]
    Cluster(String),
    /// The upstream did not answer in time.
    #[error("the upstream did not answer within {} (open_timeout)", format_duration(*.0))]
    TimedOut(Duration),
}

impl OpenError {
    /// Returns true if the upstream is down, false if it answered with a refusal.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unreachable(_) | Self::ClosedEarly(_) | Self::TimedOut(_) => true,
            Self::Cluster(_) => true,
            Self::Complete | Self::NotFound(_) | Self::RateLimited { .. } | Self::Invalid(_) => false,
        }
    }

    /// Returns the time after which the upstream wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Complete
            | Self::NotFound(_)
            | Self::Invalid(_)
            | Self::Unreachable(_)
            | Self::ClosedEarly(_)
            | Self::Cluster(_)
            | Self::TimedOut(_) => None,
        }
    }

    /// Returns the label of the error in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NotFound(_) => "not_found",
            Self::RateLimited { .. } => "busy",
            Self::Invalid(_) => "wrong",
            Self::Unavailable { .. } => "failing",
            Self::Unreachable(_) => "unreachable",
            Self::ClosedEarly(_) => "dropped",
            Self::TimedOut(_) => "silent",
            Self::Cluster(_) => "cluster",
        }
    }
}
