//! The newest known change of each revocation.
//!
//! The engine's sequence orders changes, so all gateways come to the same set, whatever order they hear of them. A change
//! that was copied under another key keeps the place of the original. Knows neither the engine nor the table.

use std::collections::HashMap;
use std::time::SystemTime;

use super::record::RevocationChange;
use super::record::RevocationRecord;
use crate::auth::RevocationId;

/// The newest known change of each revocation. Bounded by what the engine stores.
#[derive(Debug, Default)]
pub(super) struct Versions {
    by_id: HashMap<RevocationId, Version>,
    /// The last sequence that was read under each name. It saves verifying what is known.
    seen: HashMap<[u8; 32], u64>,
}

/// The newest known change of one revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Its place among all changes, from 1.
    pub order: u64,
    /// The name that it is stored under.
    pub name: [u8; 32],
    /// The end of a removal. `None`: the revocation applies.
    pub removed_until: Option<SystemTime>,
}

impl Versions {
    /// Whether this message, or a newer one under the name, has been read.
    pub(super) fn has_seen(&self, name: &[u8; 32], sequence: u64) -> bool {
        self.seen.get(name).is_some_and(|seen| *seen >= sequence)
    }

    /// Notes that the message cannot be read, so that it is not verified and counted again.
    pub(super) fn skip(&mut self, name: [u8; 32], sequence: u64) {
        self.seen.insert(name, sequence);
    }

    /// Takes a record in. Returns true if it is newer than what was known of its revocation.
    pub(super) fn take(&mut self, name: [u8; 32], sequence: u64, record: &RevocationRecord) -> bool {
        self.seen.insert(name, sequence);
        let order = record.copied.unwrap_or(sequence);
        let id = record.change.id();
        if self.order(&id) >= order {
            return false;
        }
        let removed_until = match &record.change {
            RevocationChange::Revoked(_) => None,
            RevocationChange::Removed(_, until) => Some(*until),
        };
        self.by_id.insert(id, Version { order, name, removed_until });
        true
    }

    /// Returns the place of the newest known change. 0: nothing is known.
    pub(super) fn order(&self, id: &RevocationId) -> u64 {
        self.by_id.get(id).map_or(0, |version| version.order)
    }

    /// Forgets a revocation, so that whatever the engine has of it is taken in. Returns what was known.
    pub(super) fn forget(&mut self, id: &RevocationId) -> Option<Version> {
        let version = self.by_id.remove(id)?;
        self.seen.remove(&version.name);
        Some(version)
    }

    /// Returns the revocations, and removals, that a list of what is stored lacks, or has in an older state. At most
    /// `most`.
    pub(super) fn missing_in(&self, listed: &HashMap<[u8; 32], u64>, most: usize) -> Vec<(RevocationId, [u8; 32])> {
        let is_missing = |version: &Version| {
            let listed = listed.get(&version.name).copied().unwrap_or_default();
            self.seen.get(&version.name).is_some_and(|seen| listed < *seen)
        };
        let missing = self.by_id.iter().filter(|(_, version)| is_missing(version));
        missing.map(|(id, version)| (*id, version.name)).take(most).collect()
    }

    /// Forgets removals whose time is over, revocations that `is_needed` does not name, and names that are not listed.
    pub(super) fn prune(
        &mut self,
        listed: &HashMap<[u8; 32], u64>,
        now: SystemTime,
        is_needed: impl Fn(&RevocationId) -> bool,
    ) {
        self.by_id.retain(|id, version| match version.removed_until {
            Some(until) => now < until || listed.contains_key(&version.name),
            None => listed.contains_key(&version.name) || is_needed(id),
        });
        let needed: std::collections::HashSet<_> = self.by_id.values().map(|version| version.name).collect();
        // An engine that was wiped begins with low sequences again.
        let is_listed = |name: &[u8; 32], seen: u64| listed.get(name).is_some_and(|listed| *listed >= seen);
        self.seen.retain(|name, seen| needed.contains(name) || is_listed(name, *seen));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::auth::{ClaimPath, Revocation};

    /// A change of one of three revocations.
    fn record(number: usize, is_revoked: bool, copied: Option<u64>) -> RevocationRecord {
        let revocation =
            Revocation { claim: ClaimPath::parse("jti").expect("a claim"), value: number.to_string(), until: None };
        let revoked = RevocationChange::Revoked(revocation);
        let removed = RevocationChange::Removed(revoked.id(), UNIX_EPOCH + Duration::from_secs(1 << 40));
        RevocationRecord { writer: 1, copied, change: if is_revoked { revoked } else { removed } }
    }

    proptest! {
        #[test]
        fn any_order_of_delivery_with_repeats_and_holes_gives_the_same_set(
            history in prop::collection::vec((0..3_usize, any::<bool>(), any::<bool>()), 1..20),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            // Each revocation has two names, as with two keys. The second one has copies of the first.
            let mut sequence = 0;
            let mut messages = Vec::new();
            for (number, is_revoked, is_copied) in history {
                sequence += 1;
                let original = sequence;
                messages.push(([number as u8; 32], original, record(number, is_revoked, None)));
                if is_copied {
                    sequence += 1;
                    messages.push(([number as u8 + 100; 32], sequence, record(number, is_revoked, Some(original))));
                }
            }
            let mut delivered = Versions::default();
            for pick in picks {
                let (name, sequence, record) = &messages[pick.index(messages.len())];
                if !delivered.has_seen(name, *sequence) {
                    delivered.take(*name, *sequence, record);
                }
            }
            // The engine has the newest message of each name, and everybody reads those in the end.
            let mut newest = HashMap::new();
            messages.iter().for_each(|(name, sequence, record)| {
                newest.insert(*name, (*sequence, record));
            });
            let mut fresh = Versions::default();
            for (name, (sequence, record)) in newest {
                for versions in [&mut delivered, &mut fresh] {
                    if !versions.has_seen(&name, sequence) {
                        versions.take(name, sequence, record);
                    }
                }
            }

            for number in 0..3 {
                let id = record(number, true, None).change.id();
                let state = |versions: &Versions| versions.by_id.get(&id).map(|v| (v.order, v.removed_until));
                prop_assert_eq!(state(&delivered), state(&fresh));
            }
        }
    }
}
