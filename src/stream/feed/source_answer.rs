//! An upstream's answer that is no event stream.
//!
//! The caller decides what it means. The ingest has nothing to pass it on to, so it is the reason for which the stream
//! is not open.

use std::sync::Arc;
use std::time::Duration;

use super::answer_content::AnswerContent;

/// The head of an answer that is no event stream. A source of another protocol chooses the status that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAnswer {
    /// The status code (RFC 9110, 15).
    pub status: u16,
    /// The media type in lower case, without parameters. As it came if it is not valid.
    pub content_type: Option<String>,
    /// The time after which the upstream wants to be asked again, at most [`MAX_RETRY_AFTER`](super::MAX_RETRY_AFTER).
    pub retry_after: Option<Duration>,
    /// The content, if the clients get the answer as it is. `None`: it is the reason for which there is no stream.
    pub content: Option<Arc<AnswerContent>>,
}

impl SourceAnswer {
    /// Returns true if the upstream is down, so that a replica of it may have the stream.
    pub fn is_down(&self) -> bool {
        self.content.is_none() && (500..=599).contains(&self.status)
    }
}
