//! Room for subscriptions: so many at once over all routes, and so many of them for one token subject.
//!
//! A subject means nothing without its issuer, so both together are counted. A grant without a subject, and no grant,
//! count over all routes only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::auth::Grant;

/// Counts seats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    all: AtomicUsize,
    most: AtomicUsize,
    /// Never more entries than seats, since the last seat of a subject takes its entry along. Never held across an
    /// await.
    by_subject: Mutex<HashMap<Subject, usize>>,
    most_of_subject: AtomicUsize,
}

/// An issuer's name and its subject.
type Subject = (Arc<str>, Arc<str>);

/// One subscription's seat; leaving is dropping it.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<Taken>,
    subject: Option<Subject>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many clients are there as may be.
    All,
    /// As many of this subject are there as may be.
    Subject,
}

impl Seats {
    /// Room for `most`, of which one subject may take `most_of_subject`.
    pub fn new(most: usize, most_of_subject: usize) -> Self {
        let (most, most_of_subject) = (most.into(), most_of_subject.into());
        Self(Arc::new(Taken { all: AtomicUsize::new(0), most, by_subject: Mutex::default(), most_of_subject }))
    }

    /// Another room for those who come from now on.
    pub fn limit(&self, most: usize, most_of_subject: usize) {
        self.0.most.store(most, Ordering::Relaxed);
        self.0.most_of_subject.store(most_of_subject, Ordering::Relaxed);
    }

    /// A seat, if one is free.
    ///
    /// # Errors
    /// See [`Full`].
    pub fn take(&self, grant: Option<&Grant>) -> Result<Seat, Full> {
        let taken = &self.0;
        let most = taken.most.load(Ordering::Relaxed);
        taken
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| (all < most).then_some(all + 1))
            .map_err(|_| Full::All)?;
        // From here on dropping the seat gives it back.
        let mut seat = Seat { taken: taken.clone(), subject: None };
        if let Some(subject) = grant.and_then(|grant| Some((grant.issuer().clone(), grant.subject()?.clone()))) {
            let mut by_subject = taken.by_subject.lock();
            let count = by_subject.entry(subject.clone()).or_default();
            if *count >= taken.most_of_subject.load(Ordering::Relaxed) {
                return Err(Full::Subject);
            }
            *count += 1;
            drop(by_subject);
            seat.subject = Some(subject);
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(subject) = self.subject.take()
            && let Entry::Occupied(mut count) = self.taken.by_subject.lock().entry(subject)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
