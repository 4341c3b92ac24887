//! One-time tickets: short-lived stand-ins for a token, for clients that can send nothing but a URL.
//!
//! A ticket is 256 random bits. Only its hash is kept, so a memory dump redeems nothing. It is valid once, for one
//! route and one path, until its own expiry or its token's, whichever comes first, and only while the token is valid.
//! An attempt to use it for anything else uses it up. Bounded in total and for each subject.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::grant::Grant;
use super::holder::Holder;
use super::policy::trust_store::{GrantStatus, TrustStore};

/// Maximum number of pending tickets of one subject, or of one token without a subject.
pub(super) const MAX_PER_SUBJECT: usize = 32;

/// A ticket on its way to the client. Its `Debug` form is `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

/// The tickets that have been issued and not redeemed.
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

struct PendingTicket {
    route: Box<str>,
    path: Box<str>,
    until: SystemTime,
    grant: Grant,
}

/// The reason why a ticket is not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too many tickets are pending in total.
    #[error("too many tickets are pending")]
    Full,
    /// Too many tickets of this subject are pending.
    #[error("too many tickets of this subject are pending")]
    SubjectFull,
    /// The system provides no random bytes.
    #[error("the system provides no random numbers")]
    Random,
}

impl Ticket {
    /// Returns the ticket in the clear, for the one place that sends it.
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
    /// Makes an empty table with room for `capacity` tickets.
    pub fn new(capacity: usize) -> Self {
        Self { pending: Mutex::default(), capacity }
    }

    /// Issues a ticket for `path` (canonical) on `route`, in place of the token behind `grant`.
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
        let count = pending.by_holder.entry(grant.holder()).or_default();
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

    /// Returns the grant behind a ticket if it is valid for `path` on `route`. The ticket is used up in any case.
    pub fn redeem(
        &self,
        ticket: &str,
        route: &str,
        path: &str,
        trust_store: &TrustStore,
        now: SystemTime,
    ) -> Option<Grant> {
        // 256 bits in base64url have 43 characters.
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

    /// Returns the number of pending tickets, including those that have expired and are not removed yet.
    pub fn len(&self) -> usize {
        self.pending.lock().tickets.len()
    }

    /// Whether no ticket is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PendingTickets {
    fn remove(&mut self, hash: &Hash) -> Option<PendingTicket> {
        let entry = self.tickets.remove(hash)?;
        self.by_expiry.remove(&(entry.until, *hash));
        if let Entry::Occupied(mut count) = self.by_holder.entry(entry.grant.holder()) {
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

fn hash(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("pending", &self.len()).finish_non_exhaustive()
    }
}
