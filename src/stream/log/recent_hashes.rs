//! Hashes of evicted ids and events. They tell "too old" from "never seen".
//!
//! Bounded in number. The oldest hashes are forgotten first. A smaller capacity forgets at once what a larger one later
//! does not bring back.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::runtime::arithmetic;
use crate::sse::EventId;

/// A set of the most recently added hashes.
#[derive(Debug)]
pub(super) struct RecentHashes {
    order: VecDeque<u64>,
    pub(super) hashes: HashSet<u64>,
    capacity: usize,
    /// The offset from which on a change of the capacity has forgotten nothing that was evicted.
    whole_since: u64,
    hasher: RandomState,
}

impl RecentHashes {
    /// Creates an empty set for a log of this many events.
    pub(super) fn new(events: usize) -> Self {
        let (order, hashes, hasher) = (VecDeque::new(), HashSet::new(), RandomState::new());
        Self { order, hashes, capacity: capacity_for(events), whole_since: 0, hasher }
    }

    /// Changes the capacity to that for a log of this many events, which starts at `start` now.
    pub(super) fn resize(&mut self, events: usize, start: u64) {
        self.set_capacity(capacity_for(events), start);
    }

    /// Lowers the capacity, if it is larger than what takes `most` bytes, but not below [`MIN_CAPACITY`]. The log starts at
    /// `start` now.
    pub(super) fn shrink_to(&mut self, most: usize, start: u64) {
        let capacity = (most / HASH_WEIGHT).max(MIN_CAPACITY);
        if capacity < self.capacity {
            self.set_capacity(capacity, start);
            self.order.shrink_to(2 * self.order.len());
            self.hashes.shrink_to(2 * self.hashes.len());
        }
    }

    fn set_capacity(&mut self, capacity: usize, start: u64) {
        let least = capacity.min(self.capacity);
        // With fewer hashes than that nothing has been forgotten.
        if self.order.len() >= least {
            self.whole_since = self.whole_since.max(start.saturating_sub(least as u64));
        }
        self.capacity = capacity;
        while self.order.len() > self.capacity {
            self.forget_oldest();
        }
    }

    pub(super) fn add_id(&mut self, id: &EventId) {
        self.add(self.hasher.hash_one(id.as_str()));
    }

    pub(super) fn add(&mut self, hash: u64) {
        if !self.hashes.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > self.capacity {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.hashes.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    pub(super) fn contains_id(&self, id: &str) -> bool {
        self.contains(self.hasher.hash_one(id))
    }

    /// Returns the approximate memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.order.len() * HASH_WEIGHT
    }

    /// Returns true if the hashes of everything that was evicted from the offset `at` on are here. The log starts at
    /// `start` now.
    pub(super) fn has_all_since(&self, at: u64, start: u64) -> bool {
        at >= self.whole_since && start.saturating_sub(at) <= self.capacity as u64
    }
}

/// Returns the number of hashes for a log of this many events: four times as many, within reason. At most some 400 KiB for
/// each stream.
fn capacity_for(events: usize) -> usize {
    arithmetic::clamp(events.saturating_mul(4), 1024, 16 * 1024)
}

/// The least capacity that a lack of memory leaves.
const MIN_CAPACITY: usize = 64;

/// Bytes of one hash: 8 in the queue and 9 in the table, and what both have in reserve.
const HASH_WEIGHT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_that_grows_again_does_not_bring_back_what_a_smaller_one_forgot() {
        let mut recent = RecentHashes::new(1000);
        (0..1000).for_each(|hash| recent.add(hash));
        assert!(recent.has_all_since(0, 1000));

        recent.shrink_to(100 * HASH_WEIGHT, 1000);
        recent.resize(1000, 1000);
        (1000..1500).for_each(|hash| recent.add(hash));

        for at in [0, 899, 900, 1000] {
            let are_here = (at..1500).all(|hash| recent.contains(hash));
            assert_eq!((at, recent.has_all_since(at, 1500)), (at, are_here));
        }
    }

    #[test]
    fn a_change_of_the_capacity_that_forgets_nothing_changes_no_answer() {
        let mut recent = RecentHashes::new(1000);
        (0..50).for_each(|hash| recent.add(hash));

        recent.shrink_to(100 * HASH_WEIGHT, 50);
        recent.resize(1000, 50);

        assert!(recent.has_all_since(0, 50));
    }
}
