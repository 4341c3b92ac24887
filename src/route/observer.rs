//! The observer of a route's streams, which updates the route's metrics.

use std::sync::Arc;

use crate::stream::{Gap, OpenError, StreamObserver};
use crate::telemetry::RouteMetrics;

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

    fn ended_without_new_id(&self) {
        self.0.fruitless_end();
    }

    fn read_through(&self, result: &'static str) {
        self.0.read_through(result);
    }
}
