//! The state of one connection to the upstream.

use crate::sse::EventId;

/// The state of the current connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub since: tokio::time::Instant,
    pub has_received_events: bool,
    /// The upstream's last event id when the connection was opened.
    pub opened_after: Option<EventId>,
    /// The number of failed attempts before it.
    pub failures: u32,
}

impl Connection {
    pub(super) fn opened_after(opened_after: Option<EventId>, failures: u32) -> Self {
        Self { since: tokio::time::Instant::now(), has_received_events: false, opened_after, failures }
    }
}
