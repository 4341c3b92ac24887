//! One-time tickets: a short-lived stand-in for a token, for clients that can send nothing but a URL.
//!
//! A ticket is 256 random bits; only its hash is kept, so a dump of the memory redeems nothing. It is good once, for one
//! route and one path, until its own end or its token's, whichever is first, and only while the token still stands.
//! Showing it for anything else uses it up. Bounded, in all and for each subject.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::grant::Grant;
use super::policy::trust_store::{GrantStatus, TrustStore};

/// Most tickets of one subject, or of one token without a subject, that wait at the same time.
pub const MAX_PER_SUBJECT: usize = 32;

/// A ticket on its way to the client. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

/// The tickets that have not been redeemed yet.
pub struct Tickets {
    /// Never held across an await.
    pending: Mutex<PendingTickets>,
    capacity: usize,
}

#[derive(Default)]
struct PendingTickets {
    tickets: HashMap<Hash, PendingTicket>,
    by_expiry: BTreeSet<(SystemTime, Hash)>,
    by_holder: HashMap<Holder, usize>,
}

type Hash = [u8; 32];

/// Whose tickets are counted together.
#[derive(PartialEq, Eq, Hash)]
enum Holder {
    /// An issuer's name and its `sub`: a subject means nothing without its issuer.
    Subject(Box<str>, Box<str>),
    /// A token without a subject, by its claims. Else one of them could take everyone's room.
    Token(Hash),
}

struct PendingTicket {
    route: Box<str>,
    path: Box<str>,
    until: SystemTime,
    grant: Grant,
}

/// Why no ticket is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too many wait already, for everyone.
    #[error("too many tickets are waiting")]
    Full,
    /// Too many wait already, for this subject.
    #[error("too many tickets of this subject are waiting")]
    SubjectFull,
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
}

impl Ticket {
    /// The ticket, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Tickets {
    /// Room for `capacity` tickets.
    pub fn new(capacity: usize) -> Self {
        Self { pending: Mutex::default(), capacity }
    }

    /// Makes a ticket for `path` (canonical) on `route`, in the place of the token behind `grant`.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub fn issue(
        &self,
        grant: Grant,
        route: &str,
        path: &str,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Ticket, TicketError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| TicketError::Random)?;
        let ticket = Ticket(URL_SAFE_NO_PAD.encode(secret));

        let mut pending = self.pending.lock();
        pending.remove_expired(now);
        if pending.tickets.len() >= self.capacity {
            return Err(TicketError::Full);
        }
        let count = pending.by_holder.entry(holder(&grant)).or_default();
        if *count >= MAX_PER_SUBJECT {
            return Err(TicketError::SubjectFull);
        }
        *count += 1;
        let until = now.checked_add(ttl).unwrap_or(now).min(grant.expires_at());
        let hash = hash(ticket.reveal().as_bytes());
        pending.by_expiry.insert((until, hash));
        pending.tickets.insert(hash, PendingTicket { route: route.into(), path: path.into(), until, grant });
        Ok(ticket)
    }

    /// The grant behind a ticket, if it is good for `path` on `route`. Whatever the answer, it is used up.
    pub fn redeem(
        &self,
        ticket: &str,
        route: &str,
        path: &str,
        trust_store: &TrustStore,
        now: SystemTime,
    ) -> Option<Grant> {
        // 256 bits in base64url.
        if ticket.len() != 43 {
            return None;
        }
        let entry = self.pending.lock().remove(&hash(ticket.as_bytes()))?;
        let is_valid = *entry.route == *route
            && *entry.path == *path
            && now < entry.until
            && trust_store.status(&entry.grant, now) == GrantStatus::Valid;
        is_valid.then_some(entry.grant)
    }

    /// How many wait, those that have ended but are not yet cleared included.
    pub fn len(&self) -> usize {
        self.pending.lock().tickets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PendingTickets {
    fn remove(&mut self, hash: &Hash) -> Option<PendingTicket> {
        let entry = self.tickets.remove(hash)?;
        self.by_expiry.remove(&(entry.until, *hash));
        if let Entry::Occupied(mut count) = self.by_holder.entry(holder(&entry.grant)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(entry)
    }

    fn remove_expired(&mut self, now: SystemTime) {
        while let Some(&(until, hash)) = self.by_expiry.first()
            && until <= now
        {
            self.remove(&hash);
        }
    }
}

fn holder(grant: &Grant) -> Holder {
    match grant.subject() {
        Some(subject) => Holder::Subject(grant.issuer().as_ref().into(), subject.as_ref().into()),
        None => Holder::Token(hash(grant.payload())),
    }
}

fn hash(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("waiting", &self.len()).finish_non_exhaustive()
    }
}
