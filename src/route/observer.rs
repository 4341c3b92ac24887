//! Streams as metrics tell of them: the observer that counts their facts, and the label of a stream's state.

use std::sync::Arc;

use crate::stream::{EventStream, Gap, OpenError, Phase, StreamObserver};
use crate::telemetry::{RouteMetrics, StreamState};

/// Counts the events, gaps and connection attempts of one route's streams.
pub struct RouteObserver(pub Arc<RouteMetrics>);

impl StreamObserver for RouteObserver {
    fn connected(&self, outcome: Result<(), &OpenError>) {
        self.0.upstream_connect(outcome.err().map_or("ok", OpenError::label));
    }

    fn received(&self, events: u64, bytes: usize) {
        self.0.upstream_received(events, bytes as u64);
    }

    fn gap(&self, gap: Gap) {
        self.0.gap(gap.reason());
    }

    fn acquire_failure_line(&self) -> bool {
        self.0.acquire_refusal_line()
    }

    fn ended_without_new_id(&self) {
        self.0.fruitless_end();
    }

    fn read_through(&self, result: &'static str) {
        self.0.read_through(result);
    }
}

/// Returns the state of a stream, as metrics and the admin port name it.
pub fn stream_state(stream: &EventStream) -> StreamState {
    match stream.progress().phase {
        Phase::Retrying(_) if stream.condition().is_stuck => StreamState::Stuck,
        Phase::Opening => StreamState::Opening,
        Phase::Live => StreamState::Live,
        Phase::Retrying(_) | Phase::Refused(_) => StreamState::Retrying,
        Phase::Complete => StreamState::Complete,
        Phase::Incomplete(_) => StreamState::Incomplete,
    }
}
