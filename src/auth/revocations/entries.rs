//! Revocations of one origin, ordered by id.
//!
//! The id is a digest of claim and value. One map therefore answers both questions: whether a value of a claim is
//! revoked, and which entry comes next. Does not lock and does not bound the number of entries.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::SystemTime;

use super::id::RevocationId;
use crate::auth::revocation::{Revocation, RevocationError};
use crate::auth::token::claims::ClaimPath;

/// Maximum number of different claims that the revocations of one origin name. Each costs a look-up per check.
pub(super) const MAX_CLAIMS: usize = 16;

/// The revocations that were posted, or those of the file.
#[derive(Debug, Default)]
pub(super) struct RevocationEntries {
    by_id: BTreeMap<RevocationId, RevocationEntry>,
    /// The claims, each with the number of its entries; never 0.
    claims: Vec<(Arc<ClaimPath>, usize)>,
}

/// One revocation. Kept small, because there may be a hundred thousand.
#[derive(Debug)]
pub(super) struct RevocationEntry {
    pub(super) claim: Arc<ClaimPath>,
    pub(super) value: Box<str>,
    /// The end. `None`: never.
    pub(super) until: Option<SystemTime>,
}

impl RevocationEntries {
    /// Collects the revocations that have not expired.
    pub(super) fn of(revocations: Vec<Revocation>, now: SystemTime) -> Result<Self, RevocationError> {
        let mut entries = Self::default();
        for revocation in revocations.into_iter().filter(|revocation| is_future(revocation.until, now)) {
            entries.insert(revocation)?;
        }
        Ok(entries)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn contains(&self, id: &RevocationId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn is_in_force(&self, id: &RevocationId, now: SystemTime) -> bool {
        self.by_id.get(id).is_some_and(|entry| entry.is_in_force(now))
    }

    /// Returns the claims that the entries name.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.claims.iter().map(|(claim, _)| &**claim)
    }

    /// Adds a revocation. If it exists already, the later end applies.
    pub(super) fn insert(&mut self, revocation: Revocation) -> Result<RevocationId, RevocationError> {
        let Revocation { claim, value, until } = revocation;
        let id = RevocationId::of(&claim, &value);
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.until = later(entry.until, until);
            return Ok(id);
        }
        let slot = match self.claims.iter().position(|(known, _)| **known == claim) {
            Some(slot) => slot,
            None if self.claims.len() >= MAX_CLAIMS => return Err(RevocationError::Claims),
            None => {
                self.claims.push((Arc::new(claim), 0));
                self.claims.len() - 1
            }
        };
        let (claim, entries) = &mut self.claims[slot];
        *entries += 1;
        let claim = claim.clone();
        self.by_id.insert(id, RevocationEntry { claim, value: value.into_boxed_str(), until });
        Ok(id)
    }

    /// Returns the entry with this id.
    pub(super) fn get(&self, id: &RevocationId) -> Option<&RevocationEntry> {
        self.by_id.get(id)
    }

    /// Adds a revocation. If it exists already, its end is replaced.
    pub(super) fn replace(&mut self, revocation: Revocation) -> Result<RevocationId, RevocationError> {
        let until = revocation.until;
        let id = self.insert(revocation)?;
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.until = until;
        }
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: &RevocationId) -> Option<RevocationEntry> {
        let entry = self.by_id.remove(id)?;
        let slot =
            self.claims.iter().position(|(claim, _)| *claim == entry.claim).expect("an entry's claim is counted");
        self.claims[slot].1 -= 1;
        if self.claims[slot].1 == 0 {
            self.claims.swap_remove(slot);
        }
        Some(entry)
    }

    /// Returns the entries with ids after `id`, or all of them.
    pub(super) fn after(&self, id: Option<RevocationId>) -> impl Iterator<Item = (RevocationId, &RevocationEntry)> {
        let from = id.map_or(Unbounded, Excluded);
        self.by_id.range((from, Unbounded)).map(|(id, entry)| (*id, entry))
    }

    /// Removes the expired ones of the next `count` entries after `after`. Returns the id to continue after, or `None`
    /// at the end.
    pub(super) fn remove_expired(
        &mut self,
        after: Option<RevocationId>,
        count: usize,
        now: SystemTime,
    ) -> Option<RevocationId> {
        let (mut last, mut seen, mut ended) = (None, 0, Vec::new());
        for (id, entry) in self.after(after).take(count) {
            (last, seen) = (Some(id), seen + 1);
            if !entry.is_in_force(now) {
                ended.push(id);
            }
        }
        for id in ended {
            self.remove(&id);
        }
        last.filter(|_| seen == count)
    }
}

impl RevocationEntry {
    pub(super) fn is_in_force(&self, now: SystemTime) -> bool {
        is_future(self.until, now)
    }
}

/// Returns the later of two ends. No end is later than any.
pub(super) fn later(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.zip(other).map(|(one, other)| one.max(other))
}

fn is_future(until: Option<SystemTime>, now: SystemTime) -> bool {
    until.is_none_or(|until| now < until)
}
