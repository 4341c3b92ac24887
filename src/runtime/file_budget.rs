//! Divides the process's file descriptors between client connections, upstream connections and everything else.
//!
//! Without it clients could take all of them: then no upstream is reached, no key is fetched, and the admin port is
//! silent. Client connections leave the reserve alone. Streams may take half of it. No address takes all of either: the
//! fewer descriptors are free, the smaller is the part of one address.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shares::OnRefusal;
use crate::limits::SharedLimits;

/// The largest reserve as a fraction of all descriptors, for processes that have few.
const MAX_RESERVE_DIVISOR: usize = 4;

/// The most descriptors that one address may hold for one purpose, for each that is still free. So one address alone fills
/// at most three quarters of the room, and several that take what they can leave a part for newcomers too.
const MAX_PER_FREE: usize = 3;

/// The upstream connections that one address may hold when only the reserve is left.
const MIN_UPSTREAMS_PER_ADDRESS: usize = 8;

/// Counts the descriptors of client connections and streams. Cheap to clone.
#[derive(Clone)]
pub struct FileBudget(Arc<Inner>);

struct Inner {
    limits: SharedLimits,
    /// The process's limit on open files.
    allowed: usize,
    used: AtomicUsize,
    on_refusal: OnRefusal,
}

/// A descriptor of the budget. Dropping it gives the descriptor back.
#[derive(Debug)]
pub struct FilePermit(FileBudget);

impl FileBudget {
    /// Divides `allowed` descriptors. The reserve is `limits.reserved_files`, at most a quarter of them. `on_refusal` is
    /// called for each refusal.
    pub fn new(limits: SharedLimits, allowed: usize, on_refusal: OnRefusal) -> Self {
        Self(Arc::new(Inner { limits, allowed, used: AtomicUsize::new(0), on_refusal }))
    }

    /// Takes a descriptor for a client connection, or returns `None` if only the reserve is left.
    pub fn acquire_connection(&self) -> Option<FilePermit> {
        self.acquire(self.reserve())
    }

    /// Takes a descriptor for a stream's upstream connection, or returns `None` if only half of the reserve is left.
    pub fn acquire_stream(&self) -> Option<FilePermit> {
        self.acquire(self.reserve() / 2)
    }

    /// Returns how many more descriptors client connections can take.
    pub fn free_for_connections(&self) -> usize {
        let most = self.0.allowed.saturating_sub(self.reserve());
        most.saturating_sub(self.0.used.load(Ordering::Relaxed))
    }

    /// Returns how many connections one address may hold while so many more can be opened.
    pub fn max_connections_per_address(free: usize) -> usize {
        free.saturating_mul(MAX_PER_FREE)
    }

    /// Returns how many upstream connections may be open for one address alone: three for each descriptor that client
    /// connections can still take, and a few from the reserve.
    pub fn max_upstreams_per_address(&self) -> usize {
        self.free_for_connections().saturating_mul(MAX_PER_FREE).max(MIN_UPSTREAMS_PER_ADDRESS)
    }

    fn reserve(&self) -> usize {
        self.0.limits.load().reserved_files.min(self.0.allowed / MAX_RESERVE_DIVISOR)
    }

    fn acquire(&self, reserve: usize) -> Option<FilePermit> {
        let most = self.0.allowed.saturating_sub(reserve);
        let acquired =
            self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < most).then_some(used + 1));
        if acquired.is_err() {
            (self.0.on_refusal)();
            return None;
        }
        Some(FilePermit(self.clone()))
    }
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        self.0.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for FileBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { allowed, used, .. } = &*self.0;
        f.debug_struct("FileBudget").field("allowed", allowed).field("used", used).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::*;
    use crate::config::default_limits;
    use crate::limits::Limits;

    fn budget(allowed: usize, reserved_files: usize) -> FileBudget {
        let limits = Limits { reserved_files, ..default_limits() };
        FileBudget::new(Arc::new(ArcSwap::from_pointee(limits)), allowed, Arc::new(|| ()))
    }

    #[test]
    fn connections_leave_the_reserve_and_streams_half_of_it() {
        let budget = budget(1000, 100);
        let connections: Vec<_> = std::iter::from_fn(|| budget.acquire_connection()).collect();
        assert_eq!(connections.len(), 900);
        assert_eq!(budget.free_for_connections(), 0);

        let streams: Vec<_> = std::iter::from_fn(|| budget.acquire_stream()).collect();

        assert_eq!(streams.len(), 50);
        drop(connections);
        assert!(budget.acquire_connection().is_some(), "what is dropped is free again");
    }

    #[test]
    fn one_address_leaves_descriptors_to_others_whatever_it_opens() {
        let budget = budget(512, 128);
        let take = |max: &dyn Fn() -> usize, acquire: &dyn Fn() -> Option<FilePermit>| {
            let mut own = Vec::new();
            while own.len() < max()
                && let Some(permit) = acquire()
            {
                own.push(permit);
            }
            own
        };

        let streams = take(&|| budget.max_upstreams_per_address(), &|| budget.acquire_stream());
        let most = || FileBudget::max_connections_per_address(budget.free_for_connections());
        let connections = take(&most, &|| budget.acquire_connection());
        let left = budget.free_for_connections();
        let others: Vec<_> =
            (0..10).map(|_| take(&|| budget.max_upstreams_per_address(), &|| budget.acquire_stream())).collect();

        assert_eq!((streams.len(), connections.len(), left), (288, 72, 24));
        assert!(others.iter().all(|other| other.len() >= 6), "{others:?}");
        assert!(budget.acquire_stream().is_none(), "the other half of the reserve is for operators");
    }

    #[test]
    fn a_process_with_few_descriptors_reserves_a_quarter() {
        let budget = budget(64, 128);

        let connections: Vec<_> = std::iter::from_fn(|| budget.acquire_connection()).collect();

        assert_eq!(connections.len(), 48);
    }
}
