//! Changes that wait until the engine has stored them: the newest one for each revocation.

use std::collections::HashMap;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::auth::RevocationId;

/// The changes that wait. Bounded by its owner.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_id: HashMap<RevocationId, Waiting>,
    removals: usize,
    added: u64,
}

/// A change that waits, without its content, which is in the table of revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Write the posted revocation.
    Revoke,
    /// Take back the revocation that had this place, which would have ended then. A later one stays.
    Remove {
        /// The place of the newest change that was known. 0: none.
        seen: u64,
        /// The end. `None`: never.
        until: Option<SystemTime>,
    },
    /// Copy what the second key has signed.
    Copy,
}

#[derive(Debug)]
struct Waiting {
    intent: Intent,
    number: u64,
    told: Option<oneshot::Sender<()>>,
}

impl Pending {
    /// Adds a change in place of an earlier one of the same revocation. Returns what is told when it is stored.
    pub(super) fn add(&mut self, id: RevocationId, intent: Intent) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.added += 1;
        self.remove(&id);
        self.removals += usize::from(matches!(intent, Intent::Remove { .. }));
        self.by_id.insert(id, Waiting { intent, number: self.added, told: Some(sender) });
        receiver
    }

    /// Returns the change that waits, with its number.
    pub(super) fn get(&self, id: &RevocationId) -> Option<(Intent, u64)> {
        self.by_id.get(id).map(|waiting| (waiting.intent, waiting.number))
    }

    /// Returns some of the changes.
    pub(super) fn some(&self, most: usize) -> Vec<RevocationId> {
        self.by_id.keys().take(most).copied().collect()
    }

    /// Removes a change that is stored, unless another one has taken its place, and tells whoever waits.
    pub(super) fn finish(&mut self, id: &RevocationId, number: u64) {
        if self.get(id).is_some_and(|(_, waiting)| waiting == number)
            && let Some(told) = self.remove(id).and_then(|waiting| waiting.told)
        {
            let _ = told.send(());
        }
    }

    /// Keeps only those revocations to write that are needed.
    pub(super) fn retain_revoked(&mut self, is_needed: impl Fn(&RevocationId) -> bool) {
        self.by_id.retain(|id, waiting| waiting.intent != Intent::Revoke || is_needed(id));
    }

    fn remove(&mut self, id: &RevocationId) -> Option<Waiting> {
        let waiting = self.by_id.remove(id)?;
        self.removals -= usize::from(matches!(waiting.intent, Intent::Remove { .. }));
        Some(waiting)
    }

    /// Returns the number of changes.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns the number of removals among them.
    pub(super) fn removals(&self) -> usize {
        self.removals
    }
}
