//! Attempts to redeem a ticket whose end is not known.
//!
//! The engine may have done what it did not acknowledge: the ticket is then used up, and whoever asked was told to come
//! back. The next attempt on this gateway continues all that are in doubt, so it gets what one of them has won.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The attempts in doubt, by the name of their ticket.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<HashMap<[u8; 32], Doubt>>);

#[derive(Debug)]
struct Doubt {
    /// One of each attempt. At least one, at most [`MAX_DOUBTS`].
    marks: Vec<Mark>,
    content: Vec<u8>,
    since: Instant,
}

type Mark = [u8; MARK_LENGTH];

/// An attempt to redeem a ticket. Dropped before its end, also by a client that went away, it is in doubt.
pub(super) struct Attempt<'d> {
    doubts: &'d Doubts,
    name: [u8; 32],
    /// Its own mark, or those of the attempts that it continues. Never empty.
    marks: Vec<Mark>,
    /// The grant of the ticket, once it was read.
    pub content: Option<Vec<u8>>,
}

impl Doubts {
    /// Begins an attempt, or continues those in doubt. `None`: the system has no random bytes.
    pub(super) fn begin(&self, name: [u8; 32]) -> Option<Attempt<'_>> {
        let earlier = self.0.lock().remove(&name);
        let (marks, content) = match earlier {
            Some(Doubt { marks, content, .. }) => (marks, Some(content)),
            None => {
                let mut mark = [0; MARK_LENGTH];
                getrandom::fill(&mut mark).ok()?;
                (vec![mark], None)
            }
        };
        Some(Attempt { doubts: self, name, marks, content })
    }
}

impl Attempt<'_> {
    /// Returns the mark that tells this attempt from others.
    pub(super) fn mark(&self) -> &Mark {
        &self.marks[0]
    }

    /// Returns true if this attempt, or one that it continues, has the mark.
    pub(super) fn has_mark(&self, mark: &[u8]) -> bool {
        self.marks.iter().any(|own| own == mark)
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
        if let Some(other) = doubts.get_mut(&self.name) {
            // Two attempts at the same time: either may have won.
            let room = MAX_DOUBTS - other.marks.len();
            other.marks.extend(self.marks.drain(..).take(room));
            other.since = now;
        } else if doubts.len() < MAX_DOUBTS {
            doubts.insert(self.name, Doubt { marks: std::mem::take(&mut self.marks), content, since: now });
        }
    }
}

/// Bytes that tell the attempts to redeem a ticket apart.
pub(super) const MARK_LENGTH: usize = 16;

/// Tickets in doubt that are remembered, and attempts for each of them.
const MAX_DOUBTS: usize = 256;

/// Clients come back sooner, or not at all.
const KEPT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_continues_all_attempts_in_doubt_and_a_further_one_none() {
        let (doubts, name) = (Doubts::default(), [1; 32]);
        let begin = || doubts.begin(name).expect("random bytes");
        let [mut one, mut other] = [begin(), begin()];
        let marks = [*one.mark(), *other.mark()];
        (one.content, other.content) = (Some(b"content".to_vec()), Some(b"content".to_vec()));
        drop((one, other));

        let back = begin();
        let further = begin();

        assert!(marks.iter().all(|mark| back.has_mark(mark) && !further.has_mark(mark)));
        assert_eq!(back.end(true), Some(b"content".to_vec()));
    }
}
