//! Room for subscriptions: so many at once over all routes, and so many of them for one token subject and for one address
//! behind a proxy.
//!
//! A subject means nothing without its issuer, so both together are counted. A grant without a subject, and no grant,
//! count over all routes only. Addresses are those that trusted proxies forward for: of other clients, connections are
//! counted where they come in.
//!
//! A subject at its limit may get in by ending one of its own (`limits.subject_overflow`): that its client does not read
//! is seen by bytes that the connection did not take. How much of what it took was acknowledged is the kernel's alone.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::Grant;
use crate::limits::{Limits, SharedLimits, SubjectOverflow};
use crate::listen;
use crate::stream::StreamKey;

/// Counts seats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SubscriptionLimits(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limits: SharedLimits,
    all: AtomicUsize,
    by_subject: Subjects,
    by_address: KeyedCounter<IpAddr>,
}

/// How many seats each has, of those that it may have.
#[derive(Debug)]
struct KeyedCounter<Owner> {
    /// Never more entries than seats, since the last seat of an owner takes its entry along. Never held across an await.
    counts: Mutex<HashMap<Owner, usize>>,
}

/// The places of each subject.
#[derive(Debug)]
struct Subjects {
    /// Tells the streams of one subject apart at little memory.
    hasher: RandomState,
    /// As with [`KeyedCounter`], the last place of a subject takes its entry along.
    places: Mutex<HashMap<Subject, SubjectPermits>>,
}

/// Oldest first.
#[derive(Debug, Default)]
struct SubjectPermits {
    open: BTreeMap<u64, Arc<SubjectPermit>>,
    next: u64,
    replaced_at: Option<Instant>,
}

/// One of the places that a subject has.
#[derive(Debug)]
pub struct SubjectPermit {
    number: u64,
    stream: u64,
    /// Until then it is ended only if bytes wait for its client.
    kept_until: Option<Instant>,
    is_waiting: AtomicBool,
    replaced: CancellationToken,
}

/// Between two replacements of one subject.
const REPLACE_EVERY: Duration = Duration::from_secs(1);

/// How long a subscription that got the place of a client that seemed well keeps it: as long as the kernel takes to
/// notice a client that vanished, so that two devices do not throw each other out in turn.
const KEPT: Duration = Duration::from_secs(45);

/// An issuer's name and its subject.
type Subject = (Arc<str>, Arc<str>);

/// One subscription's seat; leaving is dropping it.
#[derive(Debug)]
pub struct SubscriptionPermit {
    taken: Arc<Counts>,
    subject: Option<(Subject, Arc<SubjectPermit>)>,
    address: Option<IpAddr>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitExceeded {
    /// As many clients are there as may be.
    All,
    /// As many of this subject are there as may be.
    Subject,
    /// As many of this address are there as may be.
    Address,
}

impl SubscriptionLimits {
    /// Counts against the limits in force.
    pub fn new(limits: SharedLimits) -> Self {
        let by_subject = Subjects { hasher: RandomState::new(), places: Mutex::default() };
        let by_address = KeyedCounter { counts: Mutex::default() };
        Self(Arc::new(Counts { limits, all: AtomicUsize::new(0), by_subject, by_address }))
    }

    /// Returns how many seats are taken.
    pub fn count(&self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }

    /// A seat, if one is free; `forwarded_for` is whom a trusted proxy speaks for.
    ///
    /// # Errors
    /// See [`LimitExceeded`].
    pub fn take(
        &self,
        grant: Option<&Grant>,
        forwarded_for: Option<IpAddr>,
        stream: &StreamKey,
    ) -> Result<SubscriptionPermit, LimitExceeded> {
        let taken = &self.0;
        let limits = taken.limits.load();
        let most = limits.subscribers;
        taken
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| (all < most).then_some(all + 1))
            .map_err(|_| LimitExceeded::All)?;
        // From here on dropping the seat gives it back.
        let mut permit = SubscriptionPermit { taken: taken.clone(), subject: None, address: None };
        if let Some(address) = forwarded_for.map(listen::network) {
            permit.address =
                Some(taken.by_address.take(address, limits.connections_per_ip).ok_or(LimitExceeded::Address)?);
        }
        // Last: nobody is ended for who does not get in.
        if let Some(subject) = grant.and_then(|grant| Some((grant.issuer().clone(), grant.subject()?.clone()))) {
            let place = taken.by_subject.take(&subject, stream, &limits).ok_or(LimitExceeded::Subject)?;
            permit.subject = Some((subject, place));
        }
        Ok(permit)
    }
}

impl SubscriptionPermit {
    /// Its place among those of its subject, if it has one.
    pub fn place(&self) -> Option<&Arc<SubjectPermit>> {
        self.subject.as_ref().map(|(_, place)| place)
    }
}

impl SubjectPermit {
    /// Says whether bytes wait for the client.
    pub fn waits_for_client(&self, is_waiting: bool) {
        self.is_waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Cancelled when another got it.
    pub fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }
}

impl Subjects {
    /// A place, if one is free or can be made so.
    fn take(&self, subject: &Subject, stream: &StreamKey, limits: &Limits) -> Option<Arc<SubjectPermit>> {
        let stream = self.hasher.hash_one(stream);
        let mut places = self.places.lock();
        let count = places.get(subject).map_or(0, |places| places.open.len());
        let mut kept_until = None;
        if count >= limits.subscriptions_per_subject {
            if limits.subject_overflow != SubjectOverflow::Replace {
                return None;
            }
            kept_until = places.get_mut(subject)?.replace(stream)?;
        }
        let places = places.entry(subject.clone()).or_default();
        let (number, replaced) = (places.next, CancellationToken::new());
        let place =
            Arc::new(SubjectPermit { number, stream, kept_until, is_waiting: AtomicBool::new(false), replaced });
        places.next += 1;
        places.open.insert(number, place.clone());
        Some(place)
    }

    fn give_back(&self, subject: &Subject, place: &SubjectPermit) {
        let mut places = self.places.lock();
        if let Some(of_subject) = places.get_mut(subject)
            // A place that another got may be given back when its subject has begun anew.
            && !place.replaced.is_cancelled()
        {
            of_subject.open.remove(&place.number);
            if of_subject.open.is_empty() {
                places.remove(subject);
            }
        }
    }
}

impl SubjectPermits {
    /// Ends a subscription, if one may be ended; until when who comes for it keeps its place.
    fn replace(&mut self, stream: u64) -> Option<Option<Instant>> {
        let now = Instant::now();
        if self.replaced_at.is_some_and(|at| now.duration_since(at) < REPLACE_EVERY) {
            return None;
        }
        let waiting = self.open.values().find(|place| place.is_waiting.load(Ordering::Relaxed));
        let is_kept = |place: &SubjectPermit| place.kept_until.is_some_and(|until| now < until);
        let of_stream = || self.open.values().find(|place| place.stream == stream && !is_kept(place));
        let kept_until = waiting.is_none().then(|| now + KEPT);
        let number = waiting.or_else(of_stream)?.number;
        self.open.remove(&number)?.replaced.cancel();
        self.replaced_at = Some(now);
        Some(kept_until)
    }
}

impl<Owner: Clone + Eq + Hash> KeyedCounter<Owner> {
    /// One more, if the owner may have one.
    fn take(&self, owner: Owner, most: usize) -> Option<Owner> {
        let mut counts = self.counts.lock();
        let count = counts.get(&owner).copied().unwrap_or_default();
        if count >= most {
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

impl Drop for SubscriptionPermit {
    fn drop(&mut self) {
        self.taken.all.fetch_sub(1, Ordering::Relaxed);
        if let Some((subject, place)) = &self.subject {
            self.taken.by_subject.give_back(subject, place);
        }
        if let Some(address) = &self.address {
            self.taken.by_address.give_back(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(most: usize) -> (Subjects, Limits) {
        let subject_overflow = SubjectOverflow::Replace;
        let limits = Limits { subscriptions_per_subject: most, subject_overflow, ..Limits::default() };
        (Subjects { hasher: RandomState::new(), places: Mutex::default() }, limits)
    }

    fn alice() -> Subject {
        ("main".into(), "alice".into())
    }

    fn stream(path: &str) -> StreamKey {
        StreamKey { route: "prices".into(), path: path.to_owned(), shared: Vec::new(), origin: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_does_not_read_is_replaced_else_the_oldest_of_the_stream() {
        let (subjects, limits) = subjects(3);
        let [a, b, c] = ["/a", "/b", "/a"].map(|path| subjects.take(&alice(), &stream(path), &limits).unwrap());
        b.waits_for_client(true);

        assert!(subjects.take(&alice(), &stream("/a"), &limits).is_some());
        assert!([&a, &c].iter().all(|place| !place.replaced().is_cancelled()) && b.replaced().is_cancelled());
        assert!(subjects.take(&alice(), &stream("/a"), &limits).is_none(), "one a second");
        tokio::time::advance(REPLACE_EVERY).await;
        assert!(subjects.take(&alice(), &stream("/b"), &limits).is_none(), "healthy ones of another stream");
        assert!(subjects.take(&alice(), &stream("/a"), &limits).is_some());
        assert!(a.replaced().is_cancelled() && !c.replaced().is_cancelled());
        subjects.give_back(&alice(), &a);
        assert_eq!(subjects.places.lock()[&alice()].open.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn two_devices_do_not_replace_each_other_in_turn() {
        let (subjects, limits) = subjects(1);
        let one = subjects.take(&alice(), &stream("/a"), &limits).unwrap();
        let other = subjects.take(&alice(), &stream("/a"), &limits).unwrap();
        assert!(one.replaced().is_cancelled());

        tokio::time::advance(KEPT / 2).await;
        assert!(subjects.take(&alice(), &stream("/a"), &limits).is_none());
        other.waits_for_client(true);
        let one = subjects.take(&alice(), &stream("/a"), &limits).unwrap();
        assert!(other.replaced().is_cancelled());
        subjects.give_back(&alice(), &other);
        subjects.give_back(&alice(), &one);
        assert!(subjects.places.lock().is_empty());
    }
}
