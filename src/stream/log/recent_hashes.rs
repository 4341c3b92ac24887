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
    pub(super) fn new(events: usize) -> Self {
        // Four times the size of the log, within reason: at most some 400 KiB for each stream.
        let capacity = arithmetic::clamp(events.saturating_mul(4), 1024, 16 * 1024);
        Self { order: VecDeque::new(), hashes: HashSet::new(), capacity, hasher: RandomState::new() }
    }

    pub(super) fn add_id(&mut self, id: &EventId) {
        self.add(self.hasher.hash_one(id.as_str()));
    }

    pub(super) fn add(&mut self, hash: u64) {
        if !self.hashes.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    pub(super) fn contains_id(&self, id: &str) -> bool {
        self.contains(self.hasher.hash_one(id))
    }

    /// Returns the maximum number of hashes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}
