//! The ends of a stream: complete, or incomplete because its request must not be repeated.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{Ingest, gap_notice};
use crate::stream::feed::attempts::Attempts;
use crate::stream::feed::commit::Fenced;
use crate::stream::feed::finished::Finished;
use crate::stream::feed::open_error::OpenError;
use crate::stream::feed::source_answer::SourceAnswer;
use crate::stream::log::{Gap, Offset, OnEnd, Policy};
use crate::stream::persistence::StoredStream;
use crate::stream::progress::{Incompletion, Phase};

/// Returns the end of a stored stream, if it has ended.
pub(super) fn stored_end(stored: &StoredStream, policy: &Policy) -> Option<(Phase, Finished)> {
    if stored.is_stopped {
        return Some((Phase::Incomplete(Incompletion::Stopped), Finished::Incomplete));
    }
    // If the end of a response is an interruption now, it was taken for the end of the stream by mistake.
    let complete_for = stored.complete_for.filter(|_| policy.on_end == OnEnd::Complete);
    complete_for.map(|ago| (Phase::Complete, Finished::Complete { ago }))
}

impl Ingest {
    pub(super) async fn complete(&mut self) -> Result<Finished, Fenced> {
        let mark = self.dedup.end_marker(&self.stream.log(), &self.stream.id_minter(), Instant::now());
        self.publisher.publish(mark.into_iter().collect()).await?;
        self.publisher.finish_waking();
        self.publisher.completed().await?;
        info!(stream = %self.stream.key().excerpt(), route = %self.stream.key().route, "stream complete");
        self.stream.set_phase(Phase::Complete);
        Ok(Finished::Complete { ago: Duration::ZERO })
    }

    /// Ends a stream whose connection broke and whose request must not be repeated. The gap tells the readers.
    pub(super) async fn break_off(&mut self, what: String) -> Result<Finished, Fenced> {
        // A stream that a restart interrupts twice has one gap.
        let last = Offset(self.stream.end().0.saturating_sub(1));
        let is_told = self.stream.log().gap_after(last).is_some();
        if !is_told {
            self.spec.observer.gap(Gap::Upstream);
            self.dedup.set_gap_notice(gap_notice(&self.stream, &self.spec));
            self.publisher.publish(vec![self.dedup.initial_gap(Instant::now())]).await?;
            self.publisher.finish_waking();
        }
        self.publisher.broken().await?;
        self.stream.record_failure(Some(&what), false);
        if self.spec.observer.acquire_failure_line() {
            let key = self.stream.key();
            warn!(stream = %key.excerpt(), route = %key.route, error = %what, "stream incomplete");
        }
        self.stream.set_phase(Phase::Incomplete(Incompletion::Broken));
        Ok(Finished::Incomplete)
    }

    /// Counts the memory of an answer that the clients get instead of a stream.
    pub(super) fn charge_answer(&self, error: &OpenError) {
        if let OpenError::Answered(SourceAnswer { content: Some(content), .. }) = error {
            content.attach_ledger(self.charge.ledger());
        }
    }

    /// Returns true if no further attempt follows this error, and there was no connection before.
    pub(super) fn is_final(&self, error: &OpenError) -> bool {
        match self.spec.attempts {
            Attempts::UntilRefused => !self.has_past && !error.is_down(),
            Attempts::Unlimited => false,
            Attempts::UntilSent => !matches!(error, OpenError::Unreachable(_)),
            Attempts::Once => true,
        }
    }
}
