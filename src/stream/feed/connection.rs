//! The state of one connection to the upstream, and the ways in which it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};

use super::source::Interrupted;
use crate::runtime::side_waker::SideWaker;
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

/// The way in which a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The upstream ended its response.
    Clean,
    /// It broke.
    Interrupted(Interrupted),
    /// Its credentials are no longer in force. Not a failure of the upstream.
    CredentialsChanged,
}

/// Watches for a change of the credentials with which a connection was opened.
pub(super) struct CredentialsWatch<'s> {
    changed: BoxFuture<'s, ()>,
    /// Asked at each read, so it must cost next to nothing.
    side_waker: SideWaker<Arc<AtomicU8>>,
}

impl<'s> CredentialsWatch<'s> {
    /// Watches `changed`.
    pub(super) fn new(changed: BoxFuture<'s, ()>) -> Self {
        Self { changed, side_waker: SideWaker::default() }
    }

    /// Polls for the change. Must not be polled after it has completed.
    pub(super) fn poll_changed(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.side_waker.poll_due(cx) {
            Some(waker) => self.changed.poll_unpin(&mut Context::from_waker(waker)),
            None => Poll::Pending,
        }
    }
}
