//! Tickets and revocations in a fake engine, and what tests of them do to it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::auth_content::{Fate, KeptRecord};
use super::engine::{FakeCluster, State};
use crate::cluster::engine::{AppendError, AuthKey, AuthKind, AuthRecord, Stored};

impl State {
    /// Stores a ticket or a revocation.
    pub(in crate::cluster) fn put(
        &mut self,
        key: &AuthKey,
        after: Option<u64>,
        value: Bytes,
        keep: Duration,
    ) -> Result<AuthRecord, AppendError> {
        let known = self.get(key).map_or(0, |stored| stored.sequence);
        if after.is_some_and(|after| after != known) {
            return Err(AppendError::Refused);
        }
        let stored = self.next(value);
        self.auth.records.retain(|record| record.key != *key);
        self.auth.records.push(KeptRecord { key: *key, stored: stored.clone(), keep, until: Instant::now() + keep });
        Ok(AuthRecord { key: *key, record: stored })
    }

    /// Returns what is stored under a key.
    pub(in crate::cluster) fn get(&self, key: &AuthKey) -> Option<Stored> {
        self.auth.kept().find(|record| record.key == *key).map(|record| record.stored.clone())
    }

    /// Returns everything of one kind.
    pub(in crate::cluster) fn all(&self, kind: AuthKind) -> Vec<AuthRecord> {
        let of_kind = self.auth.kept().filter(|record| record.key.kind == kind);
        of_kind.map(|record| AuthRecord { key: record.key, record: record.stored.clone() }).collect()
    }
}

impl FakeCluster {
    /// Decides the fates of the next writes of tickets and revocations, in order.
    pub(in crate::cluster) fn decide(&self, fates: &[Option<Fate>]) {
        self.0.state.lock().auth.fates = fates.iter().copied().collect();
    }

    /// Stores a ticket or a revocation in place of what is there, and tells nobody.
    pub(in crate::cluster) fn set(&self, key: &AuthKey, value: Bytes) {
        let stored = self.0.state.lock().put(key, None, value, SET_FOR);
        stored.expect("it depends on nothing");
    }

    /// Forgets a ticket or a revocation, as after its time.
    pub(in crate::cluster) fn forget_one(&self, key: &AuthKey) {
        self.0.state.lock().auth.records.retain(|record| record.key != *key);
    }

    /// Forgets all tickets and revocations. Sequences are used again.
    pub(in crate::cluster) fn forget_auth(&self) {
        let mut state = self.0.state.lock();
        state.auth.records.clear();
        state.restart_sequences();
    }

    /// Returns all tickets and revocations with the times for which they are kept.
    pub(in crate::cluster) fn auth_records(&self) -> Vec<(AuthKey, Stored, Duration)> {
        let state = self.0.state.lock();
        state.auth.kept().map(|record| (record.key, record.stored.clone(), record.keep)).collect()
    }
}

/// The time for which a record is kept that a test has set.
const SET_FOR: Duration = Duration::from_secs(3600);
