//! Counts how much of a shared resource each owner holds, so that no owner takes all of it.
//!
//! A resource that many share has one bound for all of them and a smaller one for each owner: a client's address, a
//! token's subject, a route, an upstream. This type is the second one. The first one stays where the resource is made.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Called for each refusal. Counts `rillgate_shares_refused_total`.
pub type OnRefusal = Arc<dyn Fn() + Send + Sync>;

/// Counts the parts of one shared resource that each owner holds. Cheap to clone.
pub struct Shares<Owner: Eq + Hash>(Arc<Inner<Owner>>);

struct Inner<Owner> {
    /// There are never more entries than permits, since the last permit of an owner removes its entry. Never held across
    /// an await.
    held: Mutex<HashMap<Owner, usize>>,
    on_refusal: OnRefusal,
}

/// One owner's hold on a part of a shared resource. Dropping it releases it.
pub struct SharePermit<Owner: Eq + Hash> {
    shares: Arc<Inner<Owner>>,
    owner: Owner,
    /// The parts that it holds.
    count: usize,
}

impl<Owner: Clone + Eq + Hash> Shares<Owner> {
    /// Creates an empty count. `on_refusal` is called for each permit that is refused.
    pub fn new(on_refusal: OnRefusal) -> Self {
        Self(Arc::new(Inner { held: Mutex::default(), on_refusal }))
    }

    /// Acquires a permit, or returns `None` if `owner` holds `max` of them. The caller reads `max` from the limits in
    /// force, so a reload applies to the next permit.
    pub fn acquire(&self, owner: Owner, max: usize) -> Option<SharePermit<Owner>> {
        let is_acquired = {
            let mut held = self.0.held.lock();
            let count = held.get(&owner).copied().unwrap_or_default();
            if count < max {
                held.insert(owner.clone(), count + 1);
            }
            count < max
        };
        if !is_acquired {
            (self.0.on_refusal)();
            return None;
        }
        Some(SharePermit { shares: self.0.clone(), owner, count: 1 })
    }

    /// Acquires a permit that holds nothing yet, for [`SharePermit::resize`].
    pub fn acquire_none(&self, owner: Owner) -> SharePermit<Owner> {
        SharePermit { shares: self.0.clone(), owner, count: 0 }
    }

    /// Returns the number of parts that `owner` holds.
    pub fn held_by(&self, owner: &Owner) -> usize {
        self.0.held.lock().get(owner).copied().unwrap_or_default()
    }
}

impl<Owner: Clone + Eq + Hash> SharePermit<Owner> {
    /// Holds so many parts instead of those before. Returns false, and changes nothing, if the owner would hold more than
    /// `max` by that. Whoever holds no other part of the resource is not refused: one use alone has a bound of its own.
    pub fn resize(&mut self, count: usize, max: usize) -> bool {
        let mut held = self.shares.held.lock();
        let others = held.get(&self.owner).map_or(0, |held| held - self.count);
        if count > self.count && others > 0 && others.saturating_add(count) > max {
            drop(held);
            (self.shares.on_refusal)();
            return false;
        }
        self.count = count;
        match others.saturating_add(count) {
            0 => _ = held.remove(&self.owner),
            all => _ = held.insert(self.owner.clone(), all),
        }
        true
    }
}

impl<Owner: Eq + Hash> SharePermit<Owner> {
    /// Returns the owner.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl<Owner: Eq + Hash> Clone for Shares<Owner> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Owner: Eq + Hash> Drop for SharePermit<Owner> {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        if let Some(count) = held.get_mut(&self.owner) {
            *count -= self.count;
            if *count == 0 {
                held.remove(&self.owner);
            }
        }
    }
}

impl<Owner: Eq + Hash> fmt::Debug for Shares<Owner> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("owners", &self.0.held.lock().len()).finish()
    }
}

impl<Owner: Eq + Hash + fmt::Debug> fmt::Debug for SharePermit<Owner> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharePermit").field(&self.owner).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_owner_at_its_share_is_refused_and_others_are_not() {
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let shares = Shares::new(Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed)));
        let first = shares.acquire("greedy", 2).expect("the first of two");
        let _second = shares.acquire("greedy", 2).expect("the second of two");

        assert!(shares.acquire("greedy", 2).is_none());
        assert!(shares.acquire("modest", 2).is_some());
        assert_eq!(refused.load(Ordering::Relaxed), 1);
        drop(first);
        assert!(shares.acquire("greedy", 2).is_some(), "a dropped permit is free again");
    }

    #[test]
    fn parts_are_counted_together_and_a_single_permit_is_not_refused() {
        let shares = Shares::new(Arc::new(|| ()));
        let (mut one, mut other) = (shares.acquire_none("owner"), shares.acquire_none("owner"));

        assert!(one.resize(15, 10), "it is the only one");
        assert!(!other.resize(1, 10) && one.resize(4, 10) && other.resize(6, 10));
        assert!(!one.resize(5, 10), "four and six are all");
        assert_eq!(shares.held_by(&"owner"), 10);
        drop(one);
        assert!(other.resize(10, 10) && other.resize(0, 10));
        assert!(shares.0.held.lock().is_empty());
    }

    #[test]
    fn an_owner_without_permits_takes_no_memory() {
        let shares = Shares::new(Arc::new(|| ()));
        let permits: Vec<_> = (0..1000).filter_map(|owner| shares.acquire(owner, 1)).collect();
        assert_eq!(permits.len(), 1000);

        drop(permits);

        assert!(shares.0.held.lock().is_empty());
        assert_eq!(shares.held_by(&1), 0);
    }
}
