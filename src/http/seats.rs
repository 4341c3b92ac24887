//! Room for subscriptions: so many at once, over all routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts seats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seats {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One subscription's seat; leaving is dropping it.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// Room for `most`.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A seat, if one is free.
    pub fn take(&self) -> Option<Seat> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < self.most).then_some(taken + 1))
            .ok()?;
        Some(Seat(self.taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
