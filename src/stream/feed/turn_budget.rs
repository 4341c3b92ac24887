//! How much of an upstream's bytes is worked on before everyone else on the same worker has a turn.
//!
//! An upstream that sends as fast as it can never has to be waited for. Without a bound its ingest would be all that its
//! worker does: neither sockets nor timers of other streams would be looked at.

use super::source::Batch;

/// The work done since others last had a turn.
#[derive(Debug, Default)]
pub(crate) struct TurnBudget {
    spent: usize,
}

impl TurnBudget {
    /// Counts what has been taken from the upstream.
    pub fn spend(&mut self, batch: &Batch) {
        // Each read costs something, however little it brings.
        self.spent = self.spent.saturating_add(batch.bytes).saturating_add(READ_COST);
    }

    /// Whether it is for others to go on.
    pub fn is_spent(&self) -> bool {
        self.spent >= TURN_BYTES
    }

    /// The upstream made us wait, in which everyone else had a turn.
    pub fn reset(&mut self) {
        self.spent = 0;
    }

    /// Lets others go on, if it is for them.
    pub async fn yield_if_spent(&mut self) {
        if self.is_spent() {
            // The runtime wakes who yields only after it has looked at sockets and timers. A task that is just woken again,
            // as by the runtime's own budget of 128 reads, would run some 60 times before that.
            tokio::task::yield_now().await;
            self.reset();
        }
    }
}

/// Most bytes of a turn: well below a millisecond of parsing and publishing.
const TURN_BYTES: usize = 64 * 1024;

/// The bytes that a read counts for beyond its own.
const READ_COST: usize = 1024;
