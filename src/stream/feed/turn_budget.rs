//! The budget of upstream bytes that a task may process before it yields to others on the same worker.
//!
//! A fast upstream always has data ready. Without a budget its ingest would occupy the worker, and the sockets and
//! timers of other streams would starve.

use super::source::Batch;

/// The work done since the last yield.
#[derive(Debug, Default)]
pub(crate) struct TurnBudget {
    spent: usize,
}

impl TurnBudget {
    /// Charges the budget for a batch.
    pub(crate) fn spend(&mut self, batch: &Batch) {
        // Every read has a cost, however few bytes it returns.
        self.spent = self.spent.saturating_add(batch.bytes).saturating_add(READ_COST);
    }

    /// Returns true if the task should yield.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent >= TURN_BYTES
    }

    /// Resets the budget. Called after waiting for the upstream, which has let others run.
    pub(crate) fn reset(&mut self) {
        self.spent = 0;
    }

    /// Yields to other tasks if the budget is spent.
    pub(crate) async fn yield_if_spent(&mut self) {
        if self.is_spent() {
            // `yield_now` resumes the task only after the runtime has polled sockets and timers. A task that is merely
            // woken again, as by tokio's own budget of 128 reads, would run some 60 times before that.
            tokio::task::yield_now().await;
            self.reset();
        }
    }
}

/// The maximum number of bytes between two yields. Well below a millisecond of parsing and publishing.
const TURN_BYTES: usize = 64 * 1024;

/// The bytes charged for each read besides its own.
const READ_COST: usize = 1024;
