//! Counts of refusals where an owner held its share of a shared resource.

use std::sync::Arc;

use metrics::{Counter, Label};

use super::catalogue;
use super::label::Room;
use super::registry::Registry;

/// The refusals of each shared resource. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShareMetrics(Arc<[Counter]>);

impl ShareMetrics {
    /// Registers every series at zero, so that a rate over it includes the first refusal.
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |room: &Room| {
            let counter = registry.counter(catalogue::SHARES_REFUSED, vec![Label::new("room", room.as_str())]);
            counter.increment(0);
            counter
        };
        Self(Room::ALL.iter().map(counter).collect())
    }

    /// Counts one refusal.
    pub fn refused(&self, room: Room) {
        self.0[room as usize].increment(1);
    }

    /// Returns a function that counts one refusal at each call, for parts that do not know metrics.
    pub fn on_refusal(&self, room: Room) -> Arc<dyn Fn() + Send + Sync> {
        let counter = self.0[room as usize].clone();
        Arc::new(move || counter.increment(1))
    }
}
