//! An upstream's answer that is no event stream.
//!
//! The caller decides what it means. The ingest has nothing to pass it on to, so it is the reason for which the stream
//! is not open.

use std::time::Duration;

use super::open_error::OpenError;
use crate::runtime::excerpt::quote;

/// The head of an answer that is no event stream. A source of another protocol chooses the status that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAnswer {
    /// The status code (RFC 9110, 15).
    pub status: u16,
    /// The media type in lower case, without parameters. As it came if it is not valid.
    pub content_type: Option<String>,
    /// The time after which the upstream wants to be asked again, at most [`MAX_RETRY_AFTER`](super::MAX_RETRY_AFTER).
    pub retry_after: Option<Duration>,
}

impl SourceAnswer {
    /// Returns true if the upstream is down, so that a replica of it may have the stream.
    pub fn is_down(&self) -> bool {
        (500..=599).contains(&self.status)
    }
}

impl From<SourceAnswer> for OpenError {
    fn from(answer: SourceAnswer) -> Self {
        let SourceAnswer { status, content_type, retry_after } = answer;
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

    #[test]
    fn an_answer_is_down_exactly_if_the_error_that_it_becomes_is() {
        for status in 100..=999 {
            let answer = SourceAnswer { status, content_type: None, retry_after: None };

            assert_eq!(answer.is_down(), OpenError::from(answer).is_down(), "{status}");
        }
    }

    #[test]
    fn retry_after_counts_for_429_and_503() {
        let retry_after = Some(Duration::from_secs(7));
        for status in [200, 403, 404, 429, 500, 503] {
            let error = OpenError::from(SourceAnswer { status, content_type: None, retry_after });

            assert_eq!(error.retry_after(), retry_after.filter(|_| [429, 503].contains(&status)), "{status}");
        }
    }
}
