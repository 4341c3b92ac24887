//! The limits on open subscriptions: by memory, over all routes, for each token subject, and for each address behind a
//! proxy.
//!
//! A subject is counted together with its issuer, and a token without a subject by a digest of its claims. A request
//! without a grant counts only towards the limit over all routes. Only addresses that trusted proxies forward for are counted here; other clients are
//! limited by their connections.
//!
//! With `limits.subject_overflow = "replace"`, a subject at its limit gets in by ending one of its own subscriptions. A
//! client counts as not reading while its connection does not take bytes. Bytes that the kernel took may still be
//! unacknowledged; that is not visible here.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::{Grant, Holder};
use crate::limits::{Limits, SharedLimits, SubjectOverflow};
use crate::runtime::memory::Watermark;
use crate::runtime::shares::{SharePermit, Shares};
use crate::stream::StreamKey;
use crate::telemetry::{Room, ShareMetrics};

/// Hands out permits for subscriptions. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionLimits(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limits: SharedLimits,
    memory: Arc<Watermark>,
    all: AtomicUsize,
    by_subject: Subjects,
    by_address: Shares<IpAddr>,
    metrics: ShareMetrics,
}

/// The permits of each subject.
#[derive(Debug)]
struct Subjects {
    /// Hashes stream keys: a hash tells the streams of one subject apart and needs less memory than a key.
    hasher: RandomState,
    /// There are never more entries than permits, since the last permit of a subject removes its entry. Never held across
    /// an await.
    permits: Mutex<HashMap<Holder, SubjectPermits>>,
}

/// The permits of one subject, by number.
#[derive(Debug, Default)]
struct SubjectPermits {
    /// The oldest permit comes first.
    open: BTreeMap<u64, Arc<SubjectPermit>>,
    next: u64,
    replaced_at: Option<Instant>,
}

/// The permit of one subscription from its subject's limit.
#[derive(Debug)]
pub(crate) struct SubjectPermit {
    subject: Holder,
    number: u64,
    /// The hash of the stream's key.
    stream: u64,
    /// Until then the subscription is replaced only if bytes wait for its client.
    protected_until: Option<Instant>,
    is_blocked: AtomicBool,
    replaced: CancellationToken,
}

/// The shortest time between two replacements for one subject.
const REPLACE_INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a subscription is protected that replaced one whose client seemed well. It is as long as the kernel
/// takes to notice that a client vanished, so that two devices do not replace each other in turn.
const PROTECTION: Duration = Duration::from_secs(45);

/// The permit of one subscription. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct SubscriptionPermit {
    counts: Arc<Counts>,
    subject: Option<Arc<SubjectPermit>>,
    /// Held for its drop.
    _address: Option<SharePermit<IpAddr>>,
}

/// The limit that a new subscription would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    /// `limits.memory`.
    Memory,
    /// `limits.subscribers`.
    All,
    /// `limits.subscriptions_per_subject`.
    Subject,
    /// `limits.subscriptions_per_ip`.
    Address,
}

impl SubscriptionLimits {
    /// Counts against the limits in force. A reload of the limits applies to new subscriptions; open ones stay.
    pub(crate) fn new(limits: SharedLimits, memory: Arc<Watermark>, metrics: &ShareMetrics) -> Self {
        let by_subject = Subjects { hasher: RandomState::new(), permits: Mutex::default() };
        let by_address = Shares::new(metrics.on_refusal(Room::Subscriptions));
        let (all, metrics) = (AtomicUsize::new(0), metrics.clone());
        Self(Arc::new(Counts { limits, memory, all, by_subject, by_address, metrics }))
    }

    /// Returns the number of open subscriptions.
    pub(crate) fn count(&self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }

    /// Acquires a permit. `address` is the address that the subscription counts for, if any.
    ///
    /// # Errors
    /// The limit that is exceeded.
    pub(crate) fn acquire(
        &self,
        grant: Option<&Grant>,
        address: Option<IpAddr>,
        stream: &StreamKey,
    ) -> Result<SubscriptionPermit, LimitExceeded> {
        let counts = &self.0;
        if counts.memory.is_above() {
            return Err(LimitExceeded::Memory);
        }
        let limits = counts.limits.load();
        let max = limits.subscribers;
        counts
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| (all < max).then_some(all + 1))
            .map_err(|_| LimitExceeded::All)?;
        // From here on dropping the permit releases what has been acquired.
        let mut permit = SubscriptionPermit { counts: counts.clone(), subject: None, _address: None };
        if let Some(address) = address {
            let of_address = counts.by_address.acquire(address, limits.subscriptions_per_ip);
            permit._address = Some(of_address.ok_or(LimitExceeded::Address)?);
        }
        // Last, so that a subscription is replaced only by one that gets in.
        if let Some(subject) = grant.map(Grant::holder) {
            let of_subject = counts.by_subject.acquire(&subject, stream, &limits).ok_or_else(|| {
                counts.metrics.refused(Room::Subscriptions);
                LimitExceeded::Subject
            })?;
            permit.subject = Some(of_subject);
        }
        Ok(permit)
    }
}

impl SubscriptionPermit {
    /// Returns the permit from the subject's limit, if the subscription has a grant.
    pub(crate) fn subject_permit(&self) -> Option<&Arc<SubjectPermit>> {
        self.subject.as_ref()
    }
}

impl SubjectPermit {
    /// Records whether bytes wait for the client.
    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Returns the token that is cancelled when another subscription takes this permit.
    pub(crate) fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }
}

impl Subjects {
    /// Acquires a permit, in place of an older one if the subject is at its limit and one may be replaced.
    fn acquire(&self, subject: &Holder, stream: &StreamKey, limits: &Limits) -> Option<Arc<SubjectPermit>> {
        let stream = self.hasher.hash_one(stream);
        let mut permits = self.permits.lock();
        let count = permits.get(subject).map_or(0, |of_subject| of_subject.open.len());
        let mut protected_until = None;
        if count >= limits.subscriptions_per_subject {
            if limits.subject_overflow != SubjectOverflow::Replace {
                return None;
            }
            protected_until = permits.get_mut(subject)?.replace(stream)?;
        }
        let of_subject = permits.entry(subject.clone()).or_default();
        let (number, replaced) = (of_subject.next, CancellationToken::new());
        let is_blocked = AtomicBool::new(false);
        let subject = subject.clone();
        let permit = Arc::new(SubjectPermit { subject, number, stream, protected_until, is_blocked, replaced });
        of_subject.next += 1;
        of_subject.open.insert(number, permit.clone());
        Some(permit)
    }

    fn release(&self, permit: &SubjectPermit) {
        let mut permits = self.permits.lock();
        if let Some(of_subject) = permits.get_mut(&permit.subject)
            // A permit that was replaced is no longer counted. Its subject may have a new entry, which numbers from 0.
            && !permit.replaced.is_cancelled()
        {
            of_subject.open.remove(&permit.number);
            if of_subject.open.is_empty() {
                permits.remove(&permit.subject);
            }
        }
    }
}

impl SubjectPermits {
    /// Ends the subscription that may be replaced: the oldest one whose client does not read, else the oldest of the same
    /// stream that is not protected. Returns until when the new one is protected; `None` if none may be replaced.
    fn replace(&mut self, stream: u64) -> Option<Option<Instant>> {
        let now = Instant::now();
        if self.replaced_at.is_some_and(|at| now.duration_since(at) < REPLACE_INTERVAL) {
            return None;
        }
        let blocked = self.open.values().find(|permit| permit.is_blocked.load(Ordering::Relaxed));
        let is_protected = |permit: &SubjectPermit| permit.protected_until.is_some_and(|until| now < until);
        let of_stream = || self.open.values().find(|permit| permit.stream == stream && !is_protected(permit));
        let protected_until = blocked.is_none().then(|| now + PROTECTION);
        let number = blocked.or_else(of_stream)?.number;
        self.open.remove(&number)?.replaced.cancel();
        self.replaced_at = Some(now);
        Some(protected_until)
    }
}

impl Drop for SubscriptionPermit {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(permit) = &self.subject {
            self.counts.by_subject.release(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_limits;
    use crate::stream::StreamIdentity;

    fn subjects(max: usize) -> (Subjects, Limits) {
        let subject_overflow = SubjectOverflow::Replace;
        let limits = Limits { subscriptions_per_subject: max, subject_overflow, ..default_limits() };
        (Subjects { hasher: RandomState::new(), permits: Mutex::default() }, limits)
    }

    fn alice() -> Holder {
        Holder::Subject("main".into(), "alice".into())
    }

    fn stream(path: &str) -> StreamKey {
        StreamKey {
            route: "prices".into(),
            path: path.to_owned(),
            shared: Vec::new(),
            identity: StreamIdentity::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_client_that_does_not_read_is_replaced_else_the_oldest_of_the_stream() {
        let (subjects, limits) = subjects(3);
        let [a, b, c] = ["/a", "/b", "/a"].map(|path| subjects.acquire(&alice(), &stream(path), &limits).unwrap());
        b.set_blocked(true);

        assert!(subjects.acquire(&alice(), &stream("/a"), &limits).is_some());
        assert!([&a, &c].iter().all(|permit| !permit.replaced().is_cancelled()) && b.replaced().is_cancelled());
        assert!(subjects.acquire(&alice(), &stream("/a"), &limits).is_none(), "at most one replacement a second");
        tokio::time::advance(REPLACE_INTERVAL).await;
        assert!(
            subjects.acquire(&alice(), &stream("/b"), &limits).is_none(),
            "clients that read another stream are not replaced"
        );
        assert!(subjects.acquire(&alice(), &stream("/a"), &limits).is_some());
        assert!(a.replaced().is_cancelled() && !c.replaced().is_cancelled());
        subjects.release(&a);
        assert_eq!(subjects.permits.lock()[&alice()].open.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn two_devices_do_not_replace_each_other_in_turn() {
        let (subjects, limits) = subjects(1);
        let one = subjects.acquire(&alice(), &stream("/a"), &limits).unwrap();
        let other = subjects.acquire(&alice(), &stream("/a"), &limits).unwrap();
        assert!(one.replaced().is_cancelled());

        tokio::time::advance(PROTECTION / 2).await;
        assert!(subjects.acquire(&alice(), &stream("/a"), &limits).is_none());
        other.set_blocked(true);
        let one = subjects.acquire(&alice(), &stream("/a"), &limits).unwrap();
        assert!(other.replaced().is_cancelled());
        subjects.release(&other);
        subjects.release(&one);
        assert!(subjects.permits.lock().is_empty());
    }
}
