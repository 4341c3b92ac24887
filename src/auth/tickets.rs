//! One-time tickets: short-lived stand-ins for a token, for clients that can send nothing but a URL.
//!
//! A ticket is 256 random bits. Only its hash is kept, so a memory dump redeems nothing. It is valid once, for one
//! route and one path, until its own expiry or its token's, whichever comes first, and only while the token is valid.
//! An attempt to use it for anything else uses it up. Bounded in total and for each subject. Gateways of a cluster keep
//! their tickets in a store that all of them share; each counts those that it has issued.

mod shared;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::grant::Grant;
use super::holder::Holder;
use super::policy::trust_store::{GrantStatus, TrustStore};

use self::shared::TicketContent;
pub use self::shared::{SharedTickets, TicketsUnavailable};

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
    /// The store of all gateways. `None`: this gateway is alone.
    shared: Option<Arc<dyn SharedTickets>>,
}

#[derive(Default)]
struct PendingTickets {
    tickets: HashMap<Hash, PendingTicket>,
    by_expiry: BTreeSet<(SystemTime, Hash)>,
    by_holder: HashMap<Holder, usize>,
}

type Hash = [u8; 32];

struct PendingTicket {
    holder: Holder,
    until: SystemTime,
    /// `None`: it is in the store of all gateways, and only counted here.
    content: Option<TicketContent>,
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
    /// The ticket cannot be stored for all gateways now.
    #[error(transparent)]
    Unavailable(#[from] TicketsUnavailable),
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
        Self { pending: Mutex::default(), capacity, shared: None }
    }

    /// Keeps the tickets in the store of all gateways from now on.
    #[must_use]
    pub fn with_shared(self, shared: Arc<dyn SharedTickets>) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Issues a ticket for `path` (canonical) on `route`, in place of the token behind `grant`. It counts for its subject
    /// until it is redeemed here or expires.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub async fn issue(
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
        let hash = hash(ticket.reveal().as_bytes());
        let (holder, until) = (grant.holder(), now.checked_add(ttl).unwrap_or(now).min(grant.expires_at()));
        let content = TicketContent { route: route.into(), path: path.into(), until, grant };
        let Some(shared) = &self.shared else {
            self.admit(hash, PendingTicket { holder, until, content: Some(content) }, now)?;
            return Ok(ticket);
        };
        self.admit(hash, PendingTicket { holder, until, content: None }, now)?;
        let keep = until.duration_since(now).unwrap_or_default();
        if let Err(unavailable) = shared.store(ticket.reveal(), content.encode(), keep).await {
            self.pending.lock().remove(&hash);
            return Err(unavailable.into());
        }
        Ok(ticket)
    }

    /// Counts a ticket, and keeps what it holds.
    fn admit(&self, hash: Hash, ticket: PendingTicket, now: SystemTime) -> Result<(), TicketError> {
        let mut pending = self.pending.lock();
        pending.remove_expired(now);
        if pending.tickets.len() >= self.capacity {
            return Err(TicketError::Full);
        }
        let count = pending.by_holder.entry(ticket.holder.clone()).or_default();
        if *count >= MAX_PER_SUBJECT {
            return Err(TicketError::SubjectFull);
        }
        *count += 1;
        pending.by_expiry.insert((ticket.until, hash));
        pending.tickets.insert(hash, ticket);
        Ok(())
    }

    /// Returns the grant behind a ticket if it is valid for `path` on `route`. The ticket is used up in any case but an
    /// error.
    ///
    /// # Errors
    /// The tickets of all gateways cannot be reached.
    pub async fn redeem(
        &self,
        ticket: &str,
        route: &str,
        path: &str,
        trust_store: &TrustStore,
        now: SystemTime,
    ) -> Result<Option<Grant>, TicketsUnavailable> {
        // 256 bits in base64url have 43 characters.
        if ticket.len() != 43 {
            return Ok(None);
        }
        let hash = hash(ticket.as_bytes());
        let Some(shared) = &self.shared else {
            let content = self.pending.lock().remove(&hash).and_then(|pending| pending.content);
            return Ok(content.and_then(|content| content.check(route, path, trust_store, now, Duration::ZERO)));
        };
        let taken = shared.take(ticket).await?;
        self.pending.lock().remove(&hash);
        let content = taken.as_deref().and_then(TicketContent::decode);
        Ok(content.and_then(|content| content.check(route, path, trust_store, now, CLOCK_TOLERANCE)))
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

impl TicketContent {
    /// Returns the grant if the ticket is for this path of this route, and is valid.
    fn check(
        self,
        route: &str,
        path: &str,
        trust_store: &TrustStore,
        now: SystemTime,
        tolerance: Duration,
    ) -> Option<Grant> {
        let is_valid = *self.route == *route
            && *self.path == *path
            && self.until.checked_add(tolerance).is_none_or(|until| now < until)
            && trust_store.status(&self.grant, now) == GrantStatus::Valid;
        is_valid.then_some(self.grant)
    }
}

impl PendingTickets {
    fn remove(&mut self, hash: &Hash) -> Option<PendingTicket> {
        let entry = self.tickets.remove(hash)?;
        self.by_expiry.remove(&(entry.until, *hash));
        if let Entry::Occupied(mut count) = self.by_holder.entry(entry.holder.clone()) {
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

/// Clocks of gateways may differ by this much. The store removes a shared ticket in time; the end in the ticket is for
/// one that came back from a backup.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

fn hash(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("pending", &self.len()).finish_non_exhaustive()
    }
}
