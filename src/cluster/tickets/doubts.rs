//! Attempts to redeem a ticket whose end is not known.
//!
//! The engine may have done what it did not acknowledge: the ticket is then used up, and whoever asked was told to come
//! back. The next attempt on this gateway continues the one before, so it gets what that one has won.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The attempts in doubt, by the name of their ticket.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<HashMap<[u8; 32], Doubt>>);

#[derive(Debug)]
struct Doubt {
    mark: Mark,
    content: Vec<u8>,
    since: Instant,
}

type Mark = [u8; MARK_LENGTH];

/// An attempt to redeem a ticket. Dropped before its end, also by a client that went away, it is in doubt.
pub(super) struct Attempt<'d> {
    doubts: &'d Doubts,
    name: [u8; 32],
    mark: Mark,
    /// The grant of the ticket, once it was read.
    pub content: Option<Vec<u8>>,
}

impl Doubts {
    /// Begins an attempt, or continues the one in doubt. `None`: the system has no random bytes.
    pub(super) fn begin(&self, name: [u8; 32]) -> Option<Attempt<'_>> {
        let earlier = self.0.lock().remove(&name);
        let (mark, content) = match earlier {
            Some(Doubt { mark, content, .. }) => (mark, Some(content)),
            None => {
                let mut mark = [0; MARK_LENGTH];
                getrandom::fill(&mut mark).ok()?;
                (mark, None)
            }
        };
        Some(Attempt { doubts: self, name, mark, content })
    }
}

impl Attempt<'_> {
    /// Returns what tells this attempt from others.
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Ends the attempt. Returns the content if it has won.
    pub(super) fn end(mut self, has_won: bool) -> Option<Vec<u8>> {
        self.content.take().filter(|_| has_won)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(content) = self.content.take() else { return };
        let (mut doubts, now) = (self.doubts.0.lock(), Instant::now());
        if doubts.len() >= MAX_DOUBTS {
            doubts.retain(|_, doubt| now.duration_since(doubt.since) < KEPT);
        }
        if doubts.len() < MAX_DOUBTS {
            doubts.insert(self.name, Doubt { mark: self.mark, content, since: now });
        }
    }
}

/// Bytes that tell the attempts to redeem a ticket apart.
pub(super) const MARK_LENGTH: usize = 16;

/// Attempts in doubt that are remembered.
const MAX_DOUBTS: usize = 256;

/// Clients come back sooner, or not at all.
const KEPT: Duration = Duration::from_secs(60);
