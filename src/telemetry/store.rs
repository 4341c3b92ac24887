//! The metrics of the store. Their series exist only where there is a store.
//!
//! Does not know files or streams.

use metrics::{Gauge, Label};

use super::catalogue;
use super::family::Family;
use super::label::Room;
use super::registry::Registry;
use super::shares::ShareMetrics;

/// The metrics of the store.
pub struct StoreMetrics {
    state: Gauge,
    errors: Family<&'static str>,
    bytes: Gauge,
    queue: Gauge,
    given_up: Family<&'static str>,
    shares: ShareMetrics,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry, shares: ShareMetrics) -> Self {
        let errors = Family::new(registry, catalogue::STORE_ERRORS, Vec::<Label>::new(), "kind");
        errors.prepare(&["locked", "corrupt", "full", "unusable", "behind", "late"]);
        let given_up = Family::new(registry, catalogue::STORE_GIVEN_UP, Vec::<Label>::new(), "what");
        given_up.prepare(&["stream", "segment"]);
        let gauge = |name| registry.gauge(name, Vec::new());
        let (state, bytes, queue) = (catalogue::STORE_STATE, catalogue::STORE_BYTES, catalogue::STORE_QUEUE_EVENTS);
        Self { state: gauge(state), errors, bytes: gauge(bytes), queue: gauge(queue), given_up, shares }
    }

    /// Records whether the store persists event logs as configured.
    pub fn usable(&self, is_usable: bool) {
        self.state.set(f64::from(is_usable));
    }

    /// Counts a failure of this kind.
    pub fn error(&self, kind: &'static str) {
        self.errors.increment(kind);
    }

    /// Records the size of the stored event logs.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.set(bytes as f64);
    }

    /// Records the number of events that are still to be written.
    pub fn queue(&self, events: u64) {
        self.queue.set(events as f64);
    }

    /// Counts a `stream`, or a `segment` of an open stream, that was deleted to respect the store's bound.
    pub fn given_up(&self, what: &'static str) {
        self.given_up.increment(what);
    }

    /// Counts something that a route gave up because it had more than its share of the store.
    pub fn over_share(&self) {
        self.shares.refused(Room::Store);
    }
}
