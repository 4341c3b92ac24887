//! The failures of an upstream: what they mean for the next attempt, and the lines about them, once per change.

use tracing::{debug, info, warn};

use super::Ingest;
use crate::runtime::excerpt;
use crate::sse::EventId;

impl Ingest {
    pub(super) fn on_recovered(&mut self) {
        self.is_flapping = false;
        if self.last_failure.take().is_some() {
            info!(stream = %self.stream.key().excerpt(), route = %self.stream.key().route, "upstream is back");
        }
    }

    /// Logs at level `warn` once per stream, since it may concern every event.
    pub(super) fn log_oversized(&mut self, id: Option<&EventId>) {
        let key = self.stream.key();
        let id = excerpt::truncate(id.map_or("-", EventId::as_str));
        match std::mem::replace(&mut self.has_logged_oversized, true) {
            false => warn!(stream = %key.excerpt(), route = %key.route, %id, "event left out: larger than max_event"),
            true => debug!(stream = %key.excerpt(), %id, "event left out: larger than max_event"),
        }
    }

    /// Handles a clean end of the response. The upstream is asked again.
    pub(super) fn on_end(&mut self, is_short: bool) {
        let key = self.stream.key();
        let is_proved = self.dedup.upstream_id().is_some_and(|id| Some(id) != self.connection.opened_after);
        if !is_proved {
            self.spec.observer.ended_without_new_id();
            if is_short {
                // It may have sent the same events as before, and asking again at once could go on forever.
                self.failures = self.connection.failures;
            }
        }
        if !self.connection.has_received_events {
            return self.on_interruption("the upstream ended its response".to_owned(), false);
        }
        if !is_proved && !std::mem::replace(&mut self.has_logged_no_new_id, true) {
            warn!(
                stream = %key.excerpt(), route = %key.route,
                "upstream ends its responses without a new id, reconnecting after growing delays; \
                 if its streams have an end, set on_end = \"complete\" for the route"
            );
            self.has_logged_ends = true;
            return;
        }
        // Log it once: a producer that is polled ends its response after every few events by design.
        match std::mem::replace(&mut self.has_logged_ends, true) {
            false => {
                info!(stream = %key.excerpt(), route = %key.route, "upstream ends its responses, reconnecting each time")
            }
            true => debug!(stream = %key.excerpt(), "upstream ended its response"),
        }
    }

    /// Handles a failed attempt or a broken connection. `can_be_stuck` is false if the failure cannot depend on the
    /// request: the upstream is down, or it ended its response cleanly.
    pub(super) fn on_interruption(&mut self, what: String, can_be_stuck: bool) {
        let failed = (what.clone(), self.dedup.upstream_id());
        let is_stuck = can_be_stuck && self.failed_at.as_ref() == Some(&failed);
        if is_stuck && !self.stream.condition().is_stuck {
            let (key, after) = (self.stream.key(), failed.1.as_ref().map_or("-", EventId::as_str));
            let after = excerpt::truncate(after);
            warn!(stream = %key.excerpt(), route = %key.route, error = %what, %after, "stream stuck: the same error after the same event id");
        }
        self.failed_at = Some(failed);
        self.stream.record_failure(Some(&what), is_stuck);
        if self.last_failure.as_ref() != Some(&what) {
            let key = self.stream.key();
            if self.spec.observer.acquire_failure_line() {
                warn!(stream = %key.excerpt(), route = %key.route, error = %what, "upstream lost, reconnecting");
            }
            self.last_failure = Some(what);
        }
    }
}
