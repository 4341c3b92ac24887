//! Frees space in a full store, at the cost of the routes that take more than their share.
//!
//! Each route that has streams in the store has an equal share of it. A route above its share gives up closed streams
//! first, the least recently used before others, then the oldest segments of open ones. A route at or below its share
//! loses nothing: made-up keys of one route cannot push out what another has stored. A route may use what others leave
//! free.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::db::WriteTxn;
use super::folder::StoreFault;
use super::index::{RouteUsage, StoreIndex};
use super::persister::StreamPersister;
use crate::stream::StreamIdentity;
use crate::telemetry::StoreMetrics;

/// One removal of streams and segments until the store is within its bounds.
pub(super) struct Eviction<'e> {
    persisters: &'e mut HashMap<StreamIdentity, StreamPersister>,
    index: &'e mut StoreIndex,
    metrics: &'e StoreMetrics,
    /// The size to reach, in bytes: a little less than the bound, so that this is not repeated for every event.
    enough: u64,
    /// The closed streams of each route, least recently used last.
    closed: HashMap<Arc<str>, Vec<StreamIdentity>>,
    /// The open streams of each route by the date of their oldest segment, the oldest first.
    open: HashMap<Arc<str>, BinaryHeap<Reverse<(u64, StreamIdentity)>>>,
}

impl<'e> Eviction<'e> {
    /// Prepares the removal. `max_bytes` is the bound on all streams together.
    pub(super) fn new(
        persisters: &'e mut HashMap<StreamIdentity, StreamPersister>,
        index: &'e mut StoreIndex,
        max_bytes: u64,
        metrics: &'e StoreMetrics,
    ) -> Self {
        let closed = index.closed_by_route(|key| persisters.contains_key(key));
        let mut open = HashMap::<_, BinaryHeap<_>>::new();
        for persister in persisters.values() {
            if let Some(date) = persister.oldest_segment_date() {
                let of_route = open.entry(persister.handle.route.clone()).or_default();
                of_route.push(Reverse((date, persister.handle.key)));
            }
        }
        Self { persisters, index, metrics, enough: max_bytes / 16 * 15, closed, open }
    }

    /// Removes streams and segments until the store is within its bounds.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn run(mut self, txn: &mut WriteTxn<'_>) -> Result<(), StoreFault> {
        while self.index.has_too_many()
            && let Some(route) = largest(self.index, &self.closed, |usage| usage.streams as u64, 0)
        {
            self.remove_closed(txn, &route)?;
        }
        // While the sum is above `enough`, a route is above its share. Only if it has nothing that can be removed do the
        // others follow.
        for share in [self.share(), 0] {
            while self.index.bytes() > self.enough
                && let Some(route) = largest(self.index, &self.closed, |usage| usage.bytes, share)
            {
                self.remove_closed(txn, &route)?;
            }
            while self.index.bytes() > self.enough
                && let Some(route) = largest(self.index, &self.open, |usage| usage.bytes, share)
            {
                self.remove_segment(txn, &route)?;
            }
        }
        Ok(())
    }

    /// Returns the equal share of a route, in bytes.
    fn share(&self) -> u64 {
        self.enough / self.index.routes().len().max(1) as u64
    }

    fn remove_closed(&mut self, txn: &mut WriteTxn<'_>, route: &Arc<str>) -> Result<(), StoreFault> {
        let Some(closed) = self.closed.get_mut(route) else { return Ok(()) };
        let key = closed.pop();
        if closed.is_empty() {
            self.closed.remove(route);
        }
        if let Some(key) = key {
            self.count("stream");
            self.index.remove(txn, &key)?;
        }
        Ok(())
    }

    fn remove_segment(&mut self, txn: &mut WriteTxn<'_>, route: &Arc<str>) -> Result<(), StoreFault> {
        let Some(open) = self.open.get_mut(route) else { return Ok(()) };
        let oldest = open.pop();
        if let Some(Reverse((_, key))) = oldest {
            let persister = self.persisters.get_mut(&key).expect("it was among them");
            persister.evict_oldest_segment(txn, self.index)?;
            open.extend(persister.oldest_segment_date().map(|date| Reverse((date, key))));
        }
        if open.is_empty() {
            self.open.remove(route);
        }
        self.count("segment");
        Ok(())
    }

    /// Counts something that was given up: as an excess over a share only if routes compete.
    fn count(&self, what: &'static str) {
        self.metrics.given_up(what);
        if self.index.routes().len() > 1 {
            self.metrics.over_share();
        }
    }
}

/// Returns the route with the most of what `amount` counts, among those that have candidates and are above `share`.
fn largest<Candidates>(
    index: &StoreIndex,
    candidates: &HashMap<Arc<str>, Candidates>,
    amount: impl Fn(&RouteUsage) -> u64,
    share: u64,
) -> Option<Arc<str>> {
    let amounts = candidates.keys().filter_map(|route| Some((amount(index.routes().get(route)?), route)));
    amounts.filter(|(amount, _)| *amount > share).max().map(|(_, route)| route.clone())
}

#[cfg(test)]
mod tests;
