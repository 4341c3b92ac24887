//! A semaphore with a bound for all owners together and a smaller one for each owner.
//!
//! Callers wait in the order of arrival: first for a permit of its owner, then for one of all. An owner at its
//! share therefore holds up nobody else. An owner takes memory only while it holds permits or waits for one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::shares::OnRefusal;

/// A semaphore that is shared fairly by owners. Cheap to clone.
pub struct FairSemaphore<Owner: Eq + Hash>(Arc<Inner<Owner>>);

struct Inner<Owner> {
    all: Arc<Semaphore>,
    max_per_owner: usize,
    /// The last permit or waiter of an owner removes its entry. Never held across an await.
    owners: Mutex<HashMap<Owner, OwnPermits>>,
    on_refusal: OnRefusal,
}

/// The permits of one owner.
struct OwnPermits {
    semaphore: Arc<Semaphore>,
    /// The number of permits that are held or waited for.
    users: usize,
}

/// A permit of one owner. Dropping it releases it.
pub struct FairPermit<Owner: Eq + Hash> {
    _of_all: OwnedSemaphorePermit,
    _own: Option<(OwnedSemaphorePermit, OwnerUse<Owner>)>,
}

/// Keeps an owner's entry.
struct OwnerUse<Owner: Eq + Hash> {
    inner: Arc<Inner<Owner>>,
    owner: Owner,
}

impl<Owner: Clone + Eq + Hash> FairSemaphore<Owner> {
    /// Creates a semaphore with `max` permits, of which an owner may hold `max_per_owner`, at least one. `on_refusal` is
    /// called when an owner at its share has waited in vain.
    pub fn new(max: usize, max_per_owner: usize, on_refusal: OnRefusal) -> Self {
        let all = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let max_per_owner = max_per_owner.max(1);
        Self(Arc::new(Inner { all, max_per_owner, owners: Mutex::default(), on_refusal }))
    }

    /// Acquires a permit, or returns `None` if there is none until `deadline`. Without an owner only the bound for all
    /// applies. Cancel-safe: a waiter that is dropped loses its place.
    pub async fn acquire_until(&self, owner: Option<Owner>, deadline: Instant) -> Option<FairPermit<Owner>> {
        const OPEN: &str = "the semaphores are never closed";
        let own = match owner {
            Some(owner) => {
                let (semaphore, user) = self.use_owner(owner);
                let Ok(permit) = timeout_at(deadline, semaphore.acquire_owned()).await else {
                    (self.0.on_refusal)();
                    return None;
                };
                Some((permit.expect(OPEN), user))
            }
            None => None,
        };
        let of_all = timeout_at(deadline, self.0.all.clone().acquire_owned()).await.ok()?;
        Some(FairPermit { _of_all: of_all.expect(OPEN), _own: own })
    }

    fn use_owner(&self, owner: Owner) -> (Arc<Semaphore>, OwnerUse<Owner>) {
        let mut owners = self.0.owners.lock();
        let own = owners.entry(owner.clone()).or_insert_with(|| OwnPermits {
            semaphore: Arc::new(Semaphore::new(self.0.max_per_owner.min(Semaphore::MAX_PERMITS))),
            users: 0,
        });
        own.users += 1;
        (own.semaphore.clone(), OwnerUse { inner: self.0.clone(), owner })
    }
}

impl<Owner: Eq + Hash> Drop for OwnerUse<Owner> {
    fn drop(&mut self) {
        let mut owners = self.inner.owners.lock();
        if let Some(own) = owners.get_mut(&self.owner) {
            own.users -= 1;
            if own.users == 0 {
                owners.remove(&self.owner);
            }
        }
    }
}

impl<Owner: Eq + Hash> Clone for FairSemaphore<Owner> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Owner: Eq + Hash> fmt::Debug for FairSemaphore<Owner> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairSemaphore").field("owners", &self.0.owners.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn semaphore(max: usize, max_per_owner: usize) -> (FairSemaphore<&'static str>, Arc<AtomicUsize>) {
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let on_refusal: OnRefusal = Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        (FairSemaphore::new(max, max_per_owner, on_refusal), refused)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_at_its_share_waits_and_others_do_not() {
        let (semaphore, refused) = semaphore(8, 2);
        let first = semaphore.acquire_until(Some("greedy"), soon()).await.expect("the first of two");
        let _second = semaphore.acquire_until(Some("greedy"), soon()).await.expect("the second of two");

        assert!(semaphore.acquire_until(Some("greedy"), soon()).await.is_none());
        assert!(semaphore.acquire_until(Some("other"), Instant::now()).await.is_some());
        assert_eq!(refused.load(Ordering::Relaxed), 1);
        let waiting = semaphore.acquire_until(Some("greedy"), soon());
        drop(first);
        assert!(waiting.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_for_all_applies_to_everyone_and_is_no_owners_fault() {
        let (semaphore, refused) = semaphore(2, 2);
        let _held = [semaphore.acquire_until(Some("a"), soon()).await, semaphore.acquire_until(None, soon()).await];

        assert!(semaphore.acquire_until(Some("b"), soon()).await.is_none());
        assert!(semaphore.acquire_until(None, soon()).await.is_none());
        assert_eq!(refused.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_without_permits_and_waiters_takes_no_memory() {
        let (semaphore, _) = semaphore(1, 1);
        let held = semaphore.acquire_until(Some("a"), soon()).await.expect("a permit");
        {
            let waiting = std::pin::pin!(semaphore.acquire_until(Some("b"), soon()));
            assert!(futures_util::poll!(waiting).is_pending());
            assert_eq!(semaphore.0.owners.lock().len(), 2);
        }
        assert_eq!(semaphore.0.owners.lock().len(), 1);

        drop(held);

        assert!(semaphore.0.owners.lock().is_empty());
    }
}
