//! Hashes of evicted ids and events. They tell "too old" from "never seen".
//!
//! Bounded in number. The oldest hashes are forgotten first.

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
    hasher: RandomState,
}

impl RecentHashes {
    /// Creates an empty set for a log of this many events.
    pub(super) fn new(events: usize) -> Self {
        let (order, hashes, hasher) = (VecDeque::new(), HashSet::new(), RandomState::new());
        Self { order, hashes, capacity: capacity_for(events), hasher }
    }

    /// Changes the capacity to that for a log of this many events.
    pub(super) fn resize(&mut self, events: usize) {
        self.set_capacity(capacity_for(events));
    }

    /// Lowers the capacity, if it is larger than what takes `most` bytes, but not below [`MIN_CAPACITY`].
    pub(super) fn shrink_to(&mut self, most: usize) {
        let capacity = (most / HASH_WEIGHT).max(MIN_CAPACITY);
        if capacity < self.capacity {
            self.set_capacity(capacity);
            self.order.shrink_to(2 * self.order.len());
            self.hashes.shrink_to(2 * self.hashes.len());
        }
    }

    fn set_capacity(&mut self, capacity: usize) {
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

    /// Returns the maximum number of hashes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
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
