//! Revocations of other gateways: all of them at first and again now and then, and new ones as they come.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

use super::pending::Intent;
use super::record::RevocationChange;
use super::{Inner, MAX_PENDING_REMOVALS};
use crate::auth::RevocationId;
use crate::cluster::engine::{AuthKind, AuthRecord, EngineError, Stored};

impl Inner {
    /// Takes in what other gateways write. Never returns.
    pub(super) async fn follow(&self) {
        let mut state = self.engine.state();
        loop {
            // The engine lives as long as this.
            let _ = state.wait_for(|state| state.is_connected).await;
            if let Err(error) = self.follow_once().await {
                self.fail(&error);
            }
            sleep(PAUSE).await;
        }
    }

    /// Subscribes, reads all, and takes in what comes. Ends with an error, or with the subscription.
    async fn follow_once(&self) -> Result<(), EngineError> {
        let mut state = self.engine.state();
        // Subscribed first, so nothing is missed between the two.
        let mut live = self.engine.live_auth(AuthKind::Revocation).await?;
        loop {
            let connections = state.borrow_and_update().connections;
            self.reconcile().await?;
            let next = Instant::now() + RECONCILE_EVERY;
            loop {
                tokio::select! {
                    record = timeout_at(next, live.next()) => match record {
                        Ok(Some(record)) => {
                            if self.take(record) {
                                self.table.notify();
                            }
                        }
                        Ok(None) => return Ok(()),
                        Err(_) => break,
                    },
                    changed = state.changed() => {
                        let is_new = state.borrow_and_update().connections != connections;
                        if changed.is_err() || is_new {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Reads all revocations, and writes those again that the engine has lost.
    async fn reconcile(&self) -> Result<(), EngineError> {
        let records = self.engine.all(AuthKind::Revocation).await?;
        let listed: HashMap<_, _> = records.iter().map(|record| (record.key.name, record.record.sequence)).collect();
        let mut is_changed = false;
        for (number, record) in records.into_iter().enumerate() {
            is_changed |= self.take(record);
            if number % AT_A_TIME == AT_A_TIME - 1 {
                yield_now().await;
            }
        }
        if is_changed {
            self.table.notify();
        }
        self.is_loaded.send_if_modified(|is_loaded| !std::mem::replace(is_loaded, true));
        let missing = self.state.lock().versions.missing_in(&listed, MAX_LOOKUPS);
        let mut looked_up =
            stream::iter(missing.into_iter().map(|(id, name)| self.write_if_lost(id, name))).buffer_unordered(AT_ONCE);
        while let Some(outcome) = looked_up.next().await {
            outcome?;
        }
        let now = SystemTime::now();
        let is_needed = |id: &RevocationId| self.table.posted(id, now).is_some();
        self.state.lock().versions.prune(&listed, now, is_needed);
        Ok(())
    }

    /// Takes in a message. Returns true if it changed the table.
    fn take(&self, record: AuthRecord) -> bool {
        let (name, sequence) = (record.key.name, record.record.sequence);
        if self.state.lock().versions.has_seen(&name, sequence) {
            return false;
        }
        let Some(record) = self.decode(&name, &record.record.payload) else {
            self.state.lock().versions.skip(name, sequence);
            return false;
        };
        let id = record.change.id();
        let is_first_name = name == self.name(&id);
        let mut state = self.state.lock();
        let before = state.versions.order(&id);
        if !state.versions.take(name, sequence, &record) {
            return false;
        }
        let order = record.copied.unwrap_or(sequence);
        if let Some((intent, number)) = state.pending.get(&id) {
            match (intent, &record.change) {
                // It is written after this one, and takes its end into account.
                (Intent::Revoke, _) => return false,
                // It was about an earlier one.
                (Intent::Remove { seen, .. }, RevocationChange::Revoked(_)) => {
                    if order <= seen || record.writer == self.writer {
                        return false;
                    }
                    state.pending.finish(&id, number);
                }
                (Intent::Remove { .. }, RevocationChange::Removed(..)) => state.pending.finish(&id, number),
                (Intent::Copy, _) => {}
            }
        }
        if !is_first_name && order > before && state.pending.get(&id).is_none() {
            drop(state.pending.add(id, Intent::Copy));
            self.added.notify_one();
        }
        // Under the lock, so that changes come to the table in their order.
        self.apply(record.change);
        true
    }

    /// Writes a revocation, or its removal, again if the engine's leader does not have it either, or has an older state of
    /// it, as after a restored backup. An engine that was wiped may have a newer one with a lower sequence: a removal gives
    /// way to it.
    async fn write_if_lost(&self, id: RevocationId, name: [u8; 32]) -> Result<(), EngineError> {
        let stored = self.engine.get(&Self::key(name)).await?;
        if self.forget_if_lost(id, &name, stored.as_ref())
            && let Some(record) = stored
            && self.take(AuthRecord { key: Self::key(name), record })
        {
            self.table.notify();
        }
        Ok(())
    }

    /// Returns true if what the engine has is to be taken in.
    fn forget_if_lost(&self, id: RevocationId, name: &[u8; 32], stored: Option<&Stored>) -> bool {
        let (mut state, now) = (self.state.lock(), SystemTime::now());
        if !state.versions.has_seen(name, stored.map_or(0, |stored| stored.sequence) + 1) {
            return false;
        }
        let Some(version) = state.versions.forget(&id) else { return false };
        let intent = match version.removed_until {
            None if self.table.posted(&id, now).is_some() => Intent::Revoke,
            Some(until) if stored.is_none() && now < until && state.pending.removals() < MAX_PENDING_REMOVALS => {
                Intent::Remove { seen: version.order, until: Some(until) }
            }
            None | Some(_) => return true,
        };
        if state.pending.get(&id).is_none() {
            drop(state.pending.add(id, intent));
            self.added.notify_one();
        }
        false
    }
}

/// Between two readings of all revocations.
pub(super) const RECONCILE_EVERY: Duration = Duration::from_secs(30);

/// Before another attempt after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Messages that are verified before other tasks of the worker run.
const AT_A_TIME: usize = 64;

/// Revocations that seem lost and are looked up in one round.
const MAX_LOOKUPS: usize = 4096;

/// Those that are looked up at the same time.
const AT_ONCE: usize = 16;
