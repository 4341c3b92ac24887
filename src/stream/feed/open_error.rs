//! The reasons why a source could not be opened, in words that fit any protocol.
//!
//! Each holds the source's own text for the operator, which names what the upstream answered.

use std::time::Duration;

use super::source_answer::SourceAnswer;
use crate::runtime::excerpt::quote;
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
    /// The upstream's answer is not the stream, and is what the clients get.
    #[error("the upstream answered {} without an event stream", .0.status)]
    Answered(SourceAnswer),
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
            Self::Answered(_) => false,
        }
    }

    /// Returns the time after which the upstream wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Complete
            | Self::NotFound(_)
            | Self::Invalid(_)
            | Self::Answered(_)
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
            Self::Answered(_) => "answered",
            Self::Unavailable { .. } => "failing",
            Self::Unreachable(_) => "unreachable",
            Self::ClosedEarly(_) => "dropped",
            Self::TimedOut(_) => "silent",
            Self::Cluster(_) => "cluster",
        }
    }
}

impl From<SourceAnswer> for OpenError {
    fn from(answer: SourceAnswer) -> Self {
        if answer.content.is_some() {
            return Self::Answered(answer);
        }
        let SourceAnswer { status, content_type, retry_after, .. } = answer;
        let reason = format!("the upstream answered {status}");
        match status {
            200 => Self::Invalid(match content_type {
                Some(given) => {
                    format!("the upstream's content type is {}, not text/event-stream", quote(given.as_bytes()))
                }
                None => "the upstream's response has no content type".to_owned(),
            }),
            404 | 410 => Self::NotFound(reason),
            429 => Self::RateLimited { reason, retry_after },
            503 => Self::Unavailable { reason, retry_after },
            // Among server errors, RFC 9110, 15.6.4 defines `Retry-After` for 503 only.
            500..=599 => Self::Unavailable { reason, retry_after: None },
            _ => Self::Invalid(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::feed::answer_content::AnswerContent;

    #[test]
    fn an_answer_is_down_exactly_if_the_error_that_it_becomes_is() {
        for status in 100..=999 {
            let answer = SourceAnswer { status, content_type: None, retry_after: None, content: None };

            assert_eq!(answer.is_down(), OpenError::from(answer).is_down(), "{status}");
        }
    }

    #[test]
    fn an_answer_with_content_is_passed_on_and_no_replica_is_asked() {
        let content = Some(AnswerContent::new(Vec::new()));
        let answer = SourceAnswer { status: 503, content_type: None, retry_after: None, content };

        assert!(!answer.is_down());
        assert!(matches!(OpenError::from(answer.clone()), OpenError::Answered(passed) if passed == answer));
    }

    #[test]
    fn retry_after_counts_for_429_and_503() {
        let retry_after = Some(Duration::from_secs(7));
        for status in [200, 403, 404, 429, 500, 503] {
            let error = OpenError::from(SourceAnswer { status, content_type: None, retry_after, content: None });

            assert_eq!(error.retry_after(), retry_after.filter(|_| [429, 503].contains(&status)), "{status}");
        }
    }
}
