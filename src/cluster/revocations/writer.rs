//! Writes of changes that wait, and their repetition.
//!
//! A change is written after the message that was read, so no newer one is overwritten unseen. A doubtful answer is looked
//! up. The later end of two equal revocations applies, as on one gateway.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::sleep;

use super::pending::Intent;
use super::record::{RevocationChange, RevocationRecord};
use super::{Current, Inner, Newest};
use crate::auth::{Revocation, RevocationId};
use crate::cluster::engine::{AppendError, EngineError};
use crate::cluster::tickets::whole_seconds;

impl Inner {
    /// Writes what waits, whenever the engine is there. Never returns.
    pub(super) async fn write(&self) {
        let mut state = self.engine.state();
        loop {
            // The engine lives as long as this.
            let _ = state.wait_for(|state| state.is_connected).await;
            let waiting = self.state.lock().pending.some(BATCH);
            if waiting.is_empty() {
                self.added.notified().await;
                continue;
            }
            let writes = waiting.into_iter().map(|id| async move { self.write_one(id).await });
            let mut written = stream::iter(writes).buffer_unordered(AT_ONCE);
            let mut has_failed = false;
            while let Some(outcome) = written.next().await {
                if let Err(error) = outcome {
                    self.fail(&error);
                    has_failed = true;
                }
            }
            if has_failed {
                sleep(PAUSE).await;
            }
        }
    }

    /// Writes the change of one revocation that waits. Leaves it waiting if the engine keeps refusing it.
    async fn write_one(&self, id: RevocationId) -> Result<(), EngineError> {
        for _ in 0..ATTEMPTS {
            let Some((intent, number)) = self.state.lock().pending.get(&id) else { return Ok(()) };
            let current = self.current(&id).await?;
            let Some(record) = self.wanted(&id, intent, &current) else {
                // What the engine has is right.
                self.take_current(current);
                self.state.lock().pending.finish(&id, number);
                return Ok(());
            };
            let (name, now) = (self.name(&id), SystemTime::now());
            let keep = record.change.until().map_or(ENDLESS, |until| until.duration_since(now).unwrap_or_default());
            let value = record.encode(&self.keys, &name);
            match self.engine.put(&Self::key(name), Some(current.first_sequence), value, whole_seconds(keep)).await {
                Ok(sequence) => {
                    self.take_written(name, sequence, record, &id, number);
                    return Ok(());
                }
                Err(AppendError::Refused) => {}
                Err(AppendError::Unknown(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the record to write, or `None` if the engine has what is wanted or something newer.
    fn wanted(&self, id: &RevocationId, intent: Intent, current: &Current) -> Option<RevocationRecord> {
        let now = SystemTime::now();
        let newest = current.newest.as_ref();
        let stored = newest.and_then(|newest| match &newest.record.change {
            RevocationChange::Revoked(revocation) => Some((newest, revocation)),
            RevocationChange::Removed(..) => None,
        });
        let (copied, change) = match intent {
            Intent::Revoke => {
                let mut posted = self.table.posted(id, now)?;
                if let Some((_, stored)) = stored {
                    posted.until = later(&posted, stored);
                    if posted.until == stored.until {
                        return None;
                    }
                }
                (None, RevocationChange::Revoked(posted))
            }
            Intent::Remove { seen, until } => {
                let (newest, stored) = match stored {
                    Some(stored) => stored,
                    // Others may have it, and write it again if the engine has lost it.
                    None if newest.is_none() && seen > 0 => {
                        return Some(self.record(None, RevocationChange::Removed(*id, removal_end(until, now))));
                    }
                    None => return None,
                };
                // Another gateway has posted it since.
                if newest.order > seen && newest.record.writer != self.writer {
                    return None;
                }
                let until = until.zip(stored.until).map(|(until, stored)| until.max(stored));
                (None, RevocationChange::Removed(*id, removal_end(until, now)))
            }
            Intent::Copy => {
                let newest = newest.filter(|newest| newest.name != self.name(id))?;
                (Some(newest.order), newest.record.change.clone())
            }
        };
        Some(self.record(copied, change))
    }

    fn record(&self, copied: Option<u64>, change: RevocationChange) -> RevocationRecord {
        RevocationRecord { writer: self.writer, copied, change }
    }

    /// Takes in what the engine has, which need not be changed.
    fn take_current(&self, current: Current) {
        let Some(Newest { name, sequence, record, .. }) = current.newest else { return };
        let is_new = self.state.lock().versions.take(name, sequence, &record);
        if is_new {
            self.apply(record.change);
            self.table.notify();
        }
    }

    fn take_written(&self, name: [u8; 32], sequence: u64, record: RevocationRecord, id: &RevocationId, number: u64) {
        let mut state = self.state.lock();
        let is_new = state.versions.take(name, sequence, &record);
        let is_last = state.pending.get(id).is_some_and(|(_, last)| last == number);
        // A later end of another gateway may have come with it.
        if is_new && is_last {
            self.apply(record.change);
        }
        state.pending.finish(id, number);
    }
}

/// Returns the later of two ends. No end is later than any.
fn later(one: &Revocation, other: &Revocation) -> Option<SystemTime> {
    one.until.zip(other.until).map(|(one, other)| one.max(other))
}

/// Returns the time until which a removal is remembered: as long as the revocation would have been, and a minute for
/// clocks that differ.
fn removal_end(until: Option<SystemTime>, now: SystemTime) -> SystemTime {
    let until = until.unwrap_or(now + ENDLESS_REMOVAL).max(now);
    until.checked_add(CLOCK_TOLERANCE).unwrap_or(until)
}

/// Changes that are looked at together.
const BATCH: usize = 64;

/// Changes that are written at the same time.
const AT_ONCE: usize = 16;

/// Attempts to write a change after another one.
const ATTEMPTS: usize = 4;

/// Between attempts while the engine fails.
const PAUSE: Duration = Duration::from_secs(1);

/// The time for which the engine keeps a revocation without an end: a hundred years.
const ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The time for which a removal of a revocation without an end is remembered. A gateway that was away for longer may bring the
/// revocation back.
pub(super) const ENDLESS_REMOVAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Clocks of gateways may differ by this much.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
