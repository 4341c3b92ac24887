//! Room for subscriptions: so many at once over all routes, and so many of them for one token subject and for one address
//! behind a proxy.
//!
//! A subject means nothing without its issuer, so both together are counted. A grant without a subject, and no grant,
//! count over all routes only. Addresses are those that trusted proxies forward for: of other clients, connections are
//! counted where they come in.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::auth::Grant;
use crate::limits::Limits;
use crate::listen;

/// Counts seats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    all: AtomicUsize,
    most: AtomicUsize,
    by_subject: Shares<Subject>,
    by_address: Shares<IpAddr>,
}

/// How many seats each has, of those that it may have.
#[derive(Debug)]
struct Shares<Owner> {
    most: AtomicUsize,
    /// Never more entries than seats, since the last seat of an owner takes its entry along. Never held across an await.
    counts: Mutex<HashMap<Owner, usize>>,
}

/// An issuer's name and its subject.
type Subject = (Arc<str>, Arc<str>);

/// One subscription's seat; leaving is dropping it.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<Taken>,
    subject: Option<Subject>,
    address: Option<IpAddr>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many clients are there as may be.
    All,
    /// As many of this subject are there as may be.
    Subject,
    /// As many of this address are there as may be.
    Address,
}

impl Seats {
    /// As much room as the limits say.
    pub fn new(limits: &Limits) -> Self {
        let by_subject = Shares { most: limits.subscriptions_per_subject.into(), counts: Mutex::default() };
        let by_address = Shares { most: limits.connections_per_ip.into(), counts: Mutex::default() };
        Self(Arc::new(Taken { all: AtomicUsize::new(0), most: limits.subscribers.into(), by_subject, by_address }))
    }

    /// Another room for those who come from now on.
    pub fn limit(&self, limits: &Limits) {
        self.0.most.store(limits.subscribers, Ordering::Relaxed);
        self.0.by_subject.most.store(limits.subscriptions_per_subject, Ordering::Relaxed);
        self.0.by_address.most.store(limits.connections_per_ip, Ordering::Relaxed);
    }

    /// Returns how many seats are taken.
    pub fn count(&self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }

    /// A seat, if one is free; `forwarded_for` is whom a trusted proxy speaks for.
    ///
    /// # Errors
    /// See [`Full`].
    pub fn take(&self, grant: Option<&Grant>, forwarded_for: Option<IpAddr>) -> Result<Seat, Full> {
        let taken = &self.0;
        let most = taken.most.load(Ordering::Relaxed);
        taken
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| (all < most).then_some(all + 1))
            .map_err(|_| Full::All)?;
        // From here on dropping the seat gives it back.
        let mut seat = Seat { taken: taken.clone(), subject: None, address: None };
        if let Some(subject) = grant.and_then(|grant| Some((grant.issuer().clone(), grant.subject()?.clone()))) {
            seat.subject = Some(taken.by_subject.take(subject).ok_or(Full::Subject)?);
        }
        if let Some(address) = forwarded_for.map(listen::network) {
            seat.address = Some(taken.by_address.take(address).ok_or(Full::Address)?);
        }
        Ok(seat)
    }
}

impl<Owner: Clone + Eq + Hash> Shares<Owner> {
    /// One more, if the owner may have one.
    fn take(&self, owner: Owner) -> Option<Owner> {
        let mut counts = self.counts.lock();
        let count = counts.get(&owner).copied().unwrap_or_default();
        if count >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        counts.insert(owner.clone(), count + 1);
        Some(owner)
    }

    fn give_back(&self, owner: &Owner) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(owner);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(subject) = &self.subject {
            self.taken.by_subject.give_back(subject);
        }
        if let Some(address) = &self.address {
            self.taken.by_address.give_back(address);
        }
    }
}
