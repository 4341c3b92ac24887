//! The state of a stream: the log's end, the phase of its source, and its condition for the operator.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use super::feed::OpenError;
use super::log::Offset;

/// The state that readers can wait on.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The end of the log.
    pub end: Offset,
    /// The phase of the source.
    pub phase: Phase,
    /// The reconnection time that the upstream last sent in `retry:`, if any. At least 100 ms.
    pub retry: Option<Duration>,
}

/// The phase of a stream's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first connection attempt is in progress.
    Opening,
    /// The upstream is connected.
    Live,
    /// The upstream is disconnected and will be tried again. Holds the error of the last attempt, or `None` if a
    /// connection was open and broke.
    Retrying(Option<Arc<OpenError>>),
    /// The upstream refused the first attempt. The stream is about to be removed.
    Refused(Arc<OpenError>),
    /// The upstream has ended the stream.
    Complete,
    /// The stream has ended before its end, and nothing will be added.
    Incomplete(Incompletion),
}

/// The reason why a stream ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incompletion {
    /// The upstream broke off, and its request must not be repeated.
    Broken,
    /// A client stopped it.
    Stopped,
}

impl Phase {
    /// Returns true if the source will add nothing more, and what it sent is kept.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Complete | Self::Incomplete(_))
    }

    /// Returns the error of the last attempt, if it failed.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Retrying(Some(error)) | Self::Refused(error) => Some(error.to_string()),
            Self::Retrying(None) | Self::Opening | Self::Live | Self::Complete | Self::Incomplete(_) => None,
        }
    }
}

/// The condition of a stream, as the operator sees it.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The time of the last change of phase.
    pub since: SystemTime,
    /// The last error.
    pub last_error: Option<String>,
    /// True if the last two failures had the same error and the same last event id, with no event in between.
    pub is_stuck: bool,
}

impl Condition {
    /// Records a phase and its error. `is_new` is false if the phase did not change.
    pub(super) fn update(&mut self, is_new: bool, error: Option<String>) {
        if is_new {
            self.since = SystemTime::now();
        }
        if error.is_some() {
            self.last_error = error;
        }
    }
}

/// The minimum for an upstream's `retry:`. Without it, an upstream could make its clients and the gateway reconnect in a
/// busy loop: doubling a delay of 0 would never end it.
pub(super) const MIN_RETRY: Duration = Duration::from_millis(100);
