//! Where a stream is, and what its source is doing: what moves seldom, and is told to all who wait for it.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use super::feed::OpenError;
use super::log::Offset;

/// Where the stream is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The log's end.
    pub end: Offset,
    /// What the source is doing.
    pub phase: Phase,
    /// The upstream's own reconnection time once it has said one.
    pub retry: Option<Duration>,
}

/// What the source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its first connection is being made.
    Opening,
    /// Events come as they happen.
    Live,
    /// It is gone and being tried again. `None`: it was connected and broke.
    Retrying(Option<Arc<OpenError>>),
    /// It was refused at the first attempt; the stream is about to be forgotten.
    Refused(Arc<OpenError>),
    /// It has said all.
    Complete,
}

impl Phase {
    /// What went wrong, where an attempt did.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Retrying(Some(error)) | Self::Refused(error) => Some(error.to_string()),
            Self::Retrying(None) | Self::Opening | Self::Live | Self::Complete => None,
        }
    }
}

/// What an operator wants to know about a stream.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Since when it has been in its phase.
    pub since: SystemTime,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// It failed in the same way at the same place more than once, without an event in between.
    pub is_stuck: bool,
}

impl Condition {
    /// Notes the phase that was entered, perhaps once more, and what went wrong.
    pub(super) fn update(&mut self, is_new: bool, error: Option<String>) {
        if is_new {
            self.since = SystemTime::now();
        }
        if error.is_some() {
            self.last_error = error;
        }
    }
}
