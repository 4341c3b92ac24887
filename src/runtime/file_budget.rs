//! Divides the process's file descriptors between client connections, upstream connections and everything else.
//!
//! Without it clients could take all of them: then no upstream is reached, no key is fetched, and the admin port is
//! silent. Client connections leave the reserve alone. Streams may take half of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shares::OnRefusal;
use crate::limits::SharedLimits;

/// The largest reserve as a fraction of all descriptors, for processes that have few.
const MAX_RESERVE_DIVISOR: usize = 4;

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
    fn a_process_with_few_descriptors_reserves_a_quarter() {
        let budget = budget(64, 128);

        let connections: Vec<_> = std::iter::from_fn(|| budget.acquire_connection()).collect();

        assert_eq!(connections.len(), 48);
    }
}
