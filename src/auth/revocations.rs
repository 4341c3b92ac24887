//! What is refused although its token is good.
//!
//! A bounded table of claim values. Nothing is ever forgotten to make room: a full table refuses the new entry, loudly.
//! An entry without an end stays as long as the process (posted) or as the file says (filed). Expiry, signatures and
//! rules are others' business.

mod entries;
mod id;
mod page;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;

use self::entries::RevocationEntries;
use super::change_signal::ChangeSignal;
use super::grant::Grant;
use super::polled_file::{self, FILE_POLL};
use super::revocation::{self, Revocation, RevocationError};
use super::token::claims::ClaimPath;
use crate::runtime::file_watch::FileStamp;
use crate::runtime::workers::blocking;

pub use self::id::RevocationId;
pub use self::page::{RevocationOrigin, RevocationPage, RevocationRow};

/// See the module. Cheap to clone; clones are the same table.
#[derive(Clone, Debug)]
pub struct Revocations {
    /// Never held across an await, nor for longer than a part of a large table.
    table: Arc<RwLock<Table>>,
    capacity: usize,
    changes: ChangeSignal,
}

#[derive(Debug, Default)]
struct Table {
    posted: RevocationEntries,
    filed: RevocationEntries,
}

/// How many entries there are. What was both posted and filed is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationCounts {
    /// Those that were posted.
    pub posted: usize,
    /// Those of the file.
    pub filed: usize,
}

/// Why a token that was revoked is not admitted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Nothing of that id is in force.
    #[error("no revocation in force has this id")]
    Unknown,
    /// Only the file has it.
    #[error("this revocation comes from the file of revocations: take it out there")]
    Filed,
    /// The posted one is taken back, and the file still has it.
    #[error("the posted revocation is taken back, but the file of revocations has it too: take it out there")]
    StillFiled,
}

impl Revocations {
    /// Room for `capacity` entries.
    pub fn new(capacity: usize, changes: ChangeSignal) -> Self {
        Self { table: Arc::default(), capacity, changes }
    }

    /// How many entries there may be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Revokes. What is revoked already is so until the later of both ends.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`].
    pub fn revoke(&self, revocation: Revocation, now: SystemTime) -> Result<RevocationId, RevocationError> {
        let id = match self.post(revocation.clone()) {
            Ok(id) => id,
            Err(_) => {
                // What has ended makes room.
                self.remove_expired(now);
                self.post(revocation)?
            }
        };
        self.changes.notify();
        Ok(id)
    }

    fn post(&self, revocation: Revocation) -> Result<RevocationId, RevocationError> {
        let id = RevocationId::of(&revocation.claim, &revocation.value);
        let mut table = self.table.write();
        if table.len() >= self.capacity && !table.posted.contains(&id) {
            return Err(RevocationError::Full { capacity: self.capacity });
        }
        table.posted.insert(revocation)
    }

    /// Takes a posted revocation back.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restore(&self, id: &RevocationId, now: SystemTime) -> Result<(), RestoreError> {
        let (was_posted, is_filed) = {
            let mut table = self.table.write();
            let posted = table.posted.remove(id);
            (posted.is_some_and(|entry| entry.is_in_force(now)), table.filed.is_in_force(id, now))
        };
        if was_posted {
            self.changes.notify();
        }
        match (was_posted, is_filed) {
            (true, false) => Ok(()),
            (true, true) => Err(RestoreError::StillFiled),
            (false, true) => Err(RestoreError::Filed),
            (false, false) => Err(RestoreError::Unknown),
        }
    }

    /// The revocations in force after that id, or from the first one on. At most 1000.
    pub fn list(&self, after: Option<RevocationId>, now: SystemTime) -> RevocationPage {
        self.page(after, page::MAX_ROWS, ENTRIES_PER_LOCK, now)
    }

    /// A page of `most` rows, `at_once` entries under each lock: requests must not wait for an operator.
    fn page(&self, after: Option<RevocationId>, max_rows: usize, per_lock: usize, now: SystemTime) -> RevocationPage {
        let (mut rows, mut after): (Vec<RevocationRow>, _) = (Vec::new(), after);
        loop {
            let table = self.table.read();
            let mut seen = 0;
            for pair in page::merged(&table.posted, &table.filed, after).take(per_lock) {
                (seen, after) = (seen + 1, Some(pair.0));
                let Some(row) = page::row(pair, now) else { continue };
                if rows.len() == max_rows {
                    return RevocationPage { next: rows.last().map(|row| row.id), rows };
                }
                rows.push(row);
            }
            if seen < per_lock {
                return RevocationPage { rows, next: None };
            }
        }
    }

    /// Puts these in the place of all that came from the file before.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`]; then what was there stays.
    pub fn replace_filed(&self, revocations: Vec<Revocation>, now: SystemTime) -> Result<(), RevocationError> {
        let filed = RevocationEntries::of(revocations, now)?;
        self.remove_expired(now);
        let earlier = {
            let mut table = self.table.write();
            if table.posted.len() + filed.len() > self.capacity {
                return Err(RevocationError::Full { capacity: self.capacity });
            }
            std::mem::replace(&mut table.filed, filed)
        };
        self.changes.notify();
        // Without the lock: this takes a while for many.
        drop(earlier);
        Ok(())
    }

    /// Reads the file at `path` in the place of what came from it before.
    ///
    /// # Errors
    /// It cannot be read, is not what it should be, or is too much; then what was there stays.
    pub fn load(&self, path: &Path, now: SystemTime) -> Result<(), RevocationError> {
        self.replace_filed(revocation::read(path)?, now)
    }

    /// Reads the file whenever it has become another, for ever. A file that is gone or broken changes nothing.
    pub async fn poll_file(&self, path: &Path) {
        let mut last: Option<FileStamp> = None;
        loop {
            let stamp = polled_file::stamp(path).await;
            if stamp.is_some() && stamp != last {
                // A hundred thousand entries take longer than a stream may wait.
                let (revocations, file) = (self.clone(), path.to_owned());
                match blocking(move || revocations.load(&file, SystemTime::now())).await {
                    Ok(()) => tracing::info!(entries = self.len(), "revocations loaded"),
                    Err(error) => tracing::warn!(%error, "revocations not loaded, the earlier ones stay"),
                }
                last = stamp;
            }
            tokio::time::sleep(FILE_POLL).await;
        }
    }

    /// Forgets what has ended. Looks at every entry, a part of them under each lock: call it off the runtime's workers.
    pub fn remove_expired(&self, now: SystemTime) {
        let origins: [fn(&mut Table) -> &mut RevocationEntries; 2] =
            [|table| &mut table.posted, |table| &mut table.filed];
        for origin in origins {
            let mut after = None;
            loop {
                after = origin(&mut self.table.write()).remove_expired(after, ENTRIES_PER_LOCK, now);
                if after.is_none() {
                    break;
                }
            }
        }
    }

    /// How many entries there are, those that have ended but are not yet forgotten included.
    pub fn counts(&self) -> RevocationCounts {
        let table = self.table.read();
        RevocationCounts { posted: table.posted.len(), filed: table.filed.len() }
    }

    /// The sum of [`counts`](Self::counts).
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the grant's token has been revoked.
    pub fn covers(&self, grant: &Grant, now: SystemTime) -> bool {
        let table = self.table.read();
        let mut claims = None;
        table.claims().any(|claim| {
            let is_listed = |value: &str| table.is_in_force(&RevocationId::of(claim, value), now);
            // The two usual ones are at hand without reading the claims anew.
            match claim.as_str() {
                "jti" => grant.token_id().is_some_and(is_listed),
                "sub" => grant.subject().is_some_and(|subject| is_listed(subject)),
                _ => claims.get_or_insert_with(|| grant.claims()).texts(claim).any(|value| is_listed(&value)),
            }
        })
    }
}

impl Table {
    fn len(&self) -> usize {
        self.posted.len() + self.filed.len()
    }

    /// Each claim that an entry is about, once.
    fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        let is_posted = |claim: &ClaimPath| self.posted.claims().any(|posted| posted == claim);
        self.posted.claims().chain(self.filed.claims().filter(move |claim| !is_posted(claim)))
    }

    fn is_in_force(&self, id: &RevocationId, now: SystemTime) -> bool {
        self.posted.is_in_force(id, now) || self.filed.is_in_force(id, now)
    }
}

/// Entries that are looked at under one lock; some tens of microseconds.
const ENTRIES_PER_LOCK: usize = 1024;

#[cfg(test)]
mod tests;
