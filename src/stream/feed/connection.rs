//! What one connection to the upstream has come to so far.

use std::time::Instant;

use crate::sse::EventId;

/// What the present connection has come to so far.
#[derive(Debug)]
pub(super) struct Connection {
    pub since: tokio::time::Instant,
    pub has_received_events: bool,
    /// The upstream's id in force when it was opened.
    pub opened_after: Option<EventId>,
    /// Attempts that had failed by then.
    pub failures: u32,
}

impl Connection {
    pub fn opened_after(opened_after: Option<EventId>, failures: u32) -> Self {
        Self { since: tokio::time::Instant::now(), has_received_events: false, opened_after, failures }
    }
}

/// What has been published since the upstream last made us wait, or all readers have been woken in parts.
#[derive(Debug)]
pub(super) struct Burst {
    pub since: Instant,
    pub events: usize,
    pub bytes: usize,
}

impl Default for Burst {
    fn default() -> Self {
        Self { since: Instant::now(), events: 0, bytes: 0 }
    }
}
