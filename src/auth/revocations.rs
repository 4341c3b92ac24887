//! The table of revocations: valid tokens that are refused nevertheless.
//!
//! A bounded table of claim values. No entry is removed to make room: a full table refuses the new entry with an error.
//! An entry without an end lasts as long as the process (if posted) or as long as the file lists it. Does not check
//! expiry, signatures or rules.

mod entries;
mod id;
mod page;
mod restore_error;
mod shared;
mod sharing;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use self::entries::RevocationEntries;
use super::change_signal::ChangeSignal;
use super::grant::Grant;
use super::polled_file::{self, FILE_POLL};
use super::revocation::{self, Revocation, RevocationError, RevocationList};
use super::token::claims::ClaimPath;
use crate::runtime::file_watch::SettledFile;
use crate::runtime::workers::blocking;

pub use self::id::RevocationId;
pub use self::page::{RevocationOrigin, RevocationPage, RevocationRow};
pub use self::restore_error::RestoreError;
pub use self::shared::{Reach, SharedRevocations};

/// The revocations of a gateway, posted and from the file. Clones share the table.
#[derive(Clone, Debug)]
pub struct Revocations {
    /// Never held across an await, and for a large table only for a part of it at a time.
    table: Arc<RwLock<Table>>,
    capacity: usize,
    changes: ChangeSignal,
    /// The reason why the file's present contents are not in use. Never held across an await.
    file_problem: Arc<Mutex<Option<String>>>,
    /// Carries posted entries to other gateways. `None`: this gateway is alone.
    shared: Option<Arc<dyn SharedRevocations>>,
}

#[derive(Debug, Default)]
struct Table {
    posted: RevocationEntries,
    filed: RevocationEntries,
}

/// Numbers of entries. A revocation that was posted and is in the file counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationCounts {
    /// Posted entries.
    pub posted: usize,
    /// Entries from the file.
    pub filed: usize,
}

impl Revocations {
    /// Makes an empty table with room for `capacity` entries.
    pub fn new(capacity: usize, changes: ChangeSignal) -> Self {
        Self { table: Arc::default(), capacity, changes, file_problem: Arc::default(), shared: None }
    }

    /// Returns the maximum number of entries.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds a revocation. If it exists already, the later end applies.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`].
    pub fn revoke(&self, revocation: Revocation, now: SystemTime) -> Result<RevocationId, RevocationError> {
        let id = match self.post(revocation.clone()) {
            Ok(id) => id,
            Err(_) => {
                // Expired entries make room.
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

    /// Removes a posted revocation.
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

    /// Lists the revocations in force with ids after `after`, or from the first one. At most 1000.
    pub fn list(&self, after: Option<RevocationId>, now: SystemTime) -> RevocationPage {
        self.page(after, page::MAX_ROWS, ENTRIES_PER_LOCK, now)
    }

    /// Returns a page of at most `max_rows` rows. The lock is released after every `per_lock` entries, so that requests
    /// do not wait for an operator's listing.
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

    /// Replaces all entries that came from the file.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`]; the table is then unchanged.
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
        *self.file_problem.lock() = None;
        // Outside the lock, because dropping many entries takes a while.
        drop(earlier);
        Ok(())
    }

    /// Reads the file at `path` and replaces all entries that came from it.
    ///
    /// # Errors
    /// The file cannot be read, is invalid, has too many entries, or has become empty without saying so; the table is
    /// then unchanged.
    pub fn load(&self, path: &Path, now: SystemTime) -> Result<(), RevocationError> {
        self.use_list(revocation::read(path)?, now)
    }

    /// Replaces all entries that came from the file by those of `list`.
    ///
    /// # Errors
    /// As [`Self::load`].
    fn use_list(&self, list: RevocationList, now: SystemTime) -> Result<(), RevocationError> {
        self.remove_expired(now);
        let entries = self.counts().filed;
        if entries > 0 && !list.is_declared {
            return Err(RevocationError::Emptied { entries });
        }
        self.replace_filed(list.entries, now)
    }

    /// Returns the reason why the file's present contents are not in use. Its earlier entries are.
    pub fn file_problem(&self) -> Option<String> {
        self.file_problem.lock().clone()
    }

    /// Reads the file again whenever it has changed and settled. Never returns. A missing, empty or invalid file changes
    /// nothing but [`Self::file_problem`].
    pub async fn poll_file(&self, path: &Path) {
        // Nothing is in use of a file that changed between its first reading and now.
        let mut file = SettledFile::new(None);
        loop {
            if file.poll_settled(polled_file::stamp(path).await) {
                // Parsing a hundred thousand entries would block the streams of this worker for too long.
                let owned = path.to_owned();
                let list = blocking(move || revocation::read(&owned)).await;
                let stamp = polled_file::stamp(path).await;
                if file.mark_used(stamp) {
                    let list = if stamp.is_none() { Err(RevocationError::Missing) } else { list };
                    let revocations = self.clone();
                    let used = blocking(move || revocations.use_list(list?, SystemTime::now())).await;
                    self.report(used);
                }
            }
            tokio::time::sleep(FILE_POLL).await;
        }
    }

    fn report(&self, used: Result<(), RevocationError>) {
        match used {
            Ok(()) => tracing::info!(entries = self.len(), "revocations loaded"),
            Err(error) => {
                tracing::warn!(%error, "cannot load revocations; the previous ones remain in force");
                *self.file_problem.lock() = Some(error.to_string());
            }
        }
    }

    /// Removes expired entries. Visits every entry, with the lock released in between; must not run on a worker of the
    /// runtime.
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

    /// Returns the numbers of entries, including those that have expired and are not removed yet.
    pub fn counts(&self) -> RevocationCounts {
        let table = self.table.read();
        RevocationCounts { posted: table.posted.len(), filed: table.filed.len() }
    }

    /// Returns the sum of [`counts`](Self::counts).
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a revocation covers the grant's token.
    pub fn covers(&self, grant: &Grant, now: SystemTime) -> bool {
        let table = self.table.read();
        let mut claims = None;
        table.claims().any(|claim| {
            let is_listed = |value: &str| table.is_in_force(&RevocationId::of(claim, value), now);
            // The two usual claims are at hand; others require parsing the payload.
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

    /// Returns each claim that some entry names, once.
    fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        let is_posted = |claim: &ClaimPath| self.posted.claims().any(|posted| posted == claim);
        self.posted.claims().chain(self.filed.claims().filter(move |claim| !is_posted(claim)))
    }

    fn is_in_force(&self, id: &RevocationId, now: SystemTime) -> bool {
        self.posted.is_in_force(id, now) || self.filed.is_in_force(id, now)
    }
}

/// Maximum number of entries visited under one lock; takes some tens of microseconds.
const ENTRIES_PER_LOCK: usize = 1024;

#[cfg(test)]
mod tests;
