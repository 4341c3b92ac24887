//! Tickets that several gateways share.
//!
//! A ticket is stored under its HMAC with the cluster's key, and what it stands for is sealed with a key that needs both
//! the cluster's key and the ticket. So the engine can neither read nor use it. It is redeemed by replacing its message
//! at the sequence that was read: the engine lets one gateway do so. A doubtful answer is looked up, never believed.
//! Does not know what a ticket holds.

mod doubts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use self::doubts::{Doubts, MARK_LENGTH};
use super::engine::{AppendError, AuthKey, AuthKind, Engine, EngineError};
use super::keys::{ClusterKeys, TicketKey};
use super::limited_log::LimitedLog;
use super::observer::{ClusterErrorKind, ClusterObserver};
use crate::auth::{SharedTickets, TicketsUnavailable};

/// The tickets of all gateways, in the engine.
pub struct ClusterTickets {
    engine: Arc<dyn Engine>,
    keys: Arc<ClusterKeys>,
    observer: Arc<dyn ClusterObserver>,
    foreign: LimitedLog,
    doubts: Doubts,
}

/// A message under a ticket's name.
enum TicketMessage<'m> {
    /// The ticket was not redeemed.
    Sealed(&'m [u8]),
    /// The attempt with this mark has redeemed it.
    Redeemed(&'m [u8]),
}

impl ClusterTickets {
    /// Keeps tickets in this engine.
    pub fn new(engine: Arc<dyn Engine>, keys: Arc<ClusterKeys>, observer: Arc<dyn ClusterObserver>) -> Self {
        Self { engine, keys, observer, foreign: LimitedLog::default(), doubts: Doubts::default() }
    }

    async fn store_sealed(&self, ticket: &str, mut content: Vec<u8>, keep: Duration) -> Result<(), TicketsUnavailable> {
        let key = self.keys.ticket_keys(ticket).next().ok_or(TicketsUnavailable)?;
        key.seal(&mut content).ok_or(TicketsUnavailable)?;
        content.insert(0, SEALED);
        let name = AuthKey { kind: AuthKind::Ticket, name: key.name() };
        // The name is as random as the ticket: nothing is there. An answer that was lost leaves a ticket that nobody has.
        let stored = self.engine.put(&name, None, content.into(), whole_seconds(keep)).await;
        stored.map(drop).map_err(|failed| match failed {
            AppendError::Refused => TicketsUnavailable,
            AppendError::Unknown(error) => self.fail(&error),
        })
    }

    async fn redeem(&self, ticket: &str) -> Result<Option<Vec<u8>>, TicketsUnavailable> {
        for key in self.keys.ticket_keys(ticket) {
            if let Some(content) = self.redeem_with(&key).await? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    async fn redeem_with(&self, key: &TicketKey) -> Result<Option<Vec<u8>>, TicketsUnavailable> {
        let name = AuthKey { kind: AuthKind::Ticket, name: key.name() };
        let mut attempt = self.doubts.begin(key.name()).ok_or(TicketsUnavailable)?;
        let tombstone = Bytes::from([&[REDEEMED], attempt.mark().as_slice()].concat());
        // The engine refuses correct messages now and then, and answers are lost. So what is there decides.
        for _ in 0..ATTEMPTS {
            let found = self.engine.get(&name).await.map_err(|error| self.fail(&error))?;
            let Some(found) = found else { return Ok(attempt.end(false)) };
            match TicketMessage::parse(&found.payload) {
                Some(TicketMessage::Redeemed(by)) => {
                    let is_own = attempt.has_mark(by);
                    return Ok(attempt.end(is_own));
                }
                Some(TicketMessage::Sealed(sealed)) => attempt.content = key.open(sealed),
                None => attempt.content = None,
            }
            if attempt.content.is_none() {
                self.report_foreign();
                return Ok(None);
            }
            match self.engine.put(&name, Some(found.sequence), tombstone.clone(), TOMBSTONE).await {
                Ok(_) => return Ok(attempt.end(true)),
                Err(AppendError::Refused) => {}
                Err(AppendError::Unknown(error)) => drop(self.fail(&error)),
            }
        }
        Err(TicketsUnavailable)
    }

    fn fail(&self, error: &EngineError) -> TicketsUnavailable {
        self.observer.failed(ClusterErrorKind::Engine(error.kind));
        TicketsUnavailable
    }

    fn report_foreign(&self) {
        self.observer.failed(ClusterErrorKind::Signature);
        if let Some(suppressed) = self.foreign.acquire() {
            tracing::warn!(
                suppressed,
                "a ticket in the cluster's engine was not sealed with the cluster's key: ignored"
            );
        }
    }
}

impl SharedTickets for ClusterTickets {
    fn store<'a>(
        &'a self,
        ticket: &'a str,
        content: Vec<u8>,
        keep: Duration,
    ) -> BoxFuture<'a, Result<(), TicketsUnavailable>> {
        let stored = timeout(ANSWER_WITHIN, self.store_sealed(ticket, content, keep));
        async move { stored.await.unwrap_or(Err(TicketsUnavailable)) }.boxed()
    }

    fn take<'a>(&'a self, ticket: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TicketsUnavailable>> {
        let redeemed = timeout(ANSWER_WITHIN, self.redeem(ticket));
        async move { redeemed.await.unwrap_or(Err(TicketsUnavailable)) }.boxed()
    }
}

impl std::fmt::Debug for ClusterTickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterTickets").finish_non_exhaustive()
    }
}

impl<'m> TicketMessage<'m> {
    fn parse(bytes: &'m [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&SEALED, sealed) => Some(Self::Sealed(sealed)),
            (&REDEEMED, mark) if mark.len() == MARK_LENGTH => Some(Self::Redeemed(mark)),
            _ => None,
        }
    }
}

/// Returns the duration, rounded up to the whole seconds that the engine counts.
pub(super) fn whole_seconds(keep: Duration) -> Duration {
    let up = u64::from(keep.subsec_nanos() > 0);
    Duration::from_secs(keep.as_secs().saturating_add(up).max(1))
}

/// The format of a message is its first byte.
const SEALED: u8 = 1;
const REDEEMED: u8 = 2;

/// The time for which the engine remembers that a ticket was redeemed. A name without a message is just as unusable, so this only
/// has to outlast an attempt that looks its own answer up.
const TOMBSTONE: Duration = Duration::from_secs(60);

/// Attempts to replace the message of a ticket.
const ATTEMPTS: usize = 4;

/// The most time that a client waits for a ticket, or for its redemption.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
