//! What is refused although its token is good.
//!
//! A bounded table of claim values. Nothing is ever forgotten to make room: a full table refuses the new entry, loudly.
//! An entry without an end stays as long as the process (posted) or as the file says (filed). Expiry, signatures and
//! rules are others' business.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use parking_lot::RwLock;

use super::authority::Changes;
use super::claims::ClaimPath;
use super::grant::Grant;
use super::keyfile;
use super::revocation::{self, Revocation, RevocationError};
use crate::files::Stamp;
use crate::workers::blocking;

/// Most different claims that revocations are about: each costs a look-up per check.
pub const MAX_CLAIMS: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Revocations {
    /// Never held across an await.
    table: RwLock<Table>,
    capacity: usize,
    changes: Changes,
}

#[derive(Debug, Default)]
struct Table {
    posted: Entries,
    filed: Entries,
}

/// For each claim its revoked values and until when.
#[derive(Debug, Default)]
struct Entries(Vec<(ClaimPath, HashMap<String, Option<SystemTime>>)>);

impl Revocations {
    /// Room for `capacity` entries.
    pub fn new(capacity: usize, changes: Changes) -> Self {
        Self { table: RwLock::default(), capacity, changes }
    }

    /// Revokes. What is revoked already is so until the later of both ends.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`].
    pub fn revoke(&self, revocation: Revocation, now: SystemTime) -> Result<(), RevocationError> {
        {
            let mut table = self.table.write();
            let is_tight = table.len() >= self.capacity || table.posted.0.len() >= MAX_CLAIMS;
            if is_tight && !table.posted.holds(&revocation) {
                table.posted.forget_past(now);
                if table.len() >= self.capacity {
                    return Err(RevocationError::Full { capacity: self.capacity });
                }
            }
            table.posted.insert(revocation)?;
        }
        self.changes.announce();
        Ok(())
    }

    /// Takes a posted revocation back. Returns whether there was one.
    pub fn restore(&self, claim: &ClaimPath, value: &str) -> bool {
        let mut table = self.table.write();
        let values = table.posted.0.iter_mut().find(|(known, _)| known == claim);
        values.is_some_and(|(_, values)| values.remove(value).is_some())
    }

    /// Puts these in the place of all that came from the file before.
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`]; then what was there stays.
    pub fn replace_filed(&self, revocations: Vec<Revocation>, now: SystemTime) -> Result<(), RevocationError> {
        let mut filed = Entries::default();
        for revocation in revocations {
            if revocation.until.is_none_or(|until| until > now) {
                filed.insert(revocation)?;
            }
        }
        {
            let mut table = self.table.write();
            table.posted.forget_past(now);
            if table.posted.len() + filed.len() > self.capacity {
                return Err(RevocationError::Full { capacity: self.capacity });
            }
            table.filed = filed;
        }
        self.changes.announce();
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
    pub async fn follow(&self, path: &Path) {
        let mut last: Option<Stamp> = None;
        loop {
            let stamp = keyfile::stamp(path).await;
            if stamp.is_some() && stamp != last {
                // A hundred thousand entries take longer to read than a stream may wait.
                let file = path.to_owned();
                let read = blocking(move || revocation::read(&file)).await;
                match read.and_then(|revocations| self.replace_filed(revocations, SystemTime::now())) {
                    Ok(()) => tracing::info!(entries = self.len(), "revocations loaded"),
                    Err(error) => tracing::warn!(%error, "revocations not loaded, the earlier ones stay"),
                }
                last = stamp;
            }
            tokio::time::sleep(super::issuer::FILE_POLL).await;
        }
    }

    /// How many entries there are, those that have ended but are not yet cleared included.
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
        if table.len() == 0 {
            return false;
        }
        let mut claims = None;
        for (claim, values) in table.posted.0.iter().chain(&table.filed.0).filter(|(_, values)| !values.is_empty()) {
            let is_listed = |value: &str| values.get(value).is_some_and(|until| until.is_none_or(|until| now < until));
            // The two usual ones are at hand without reading the claims anew.
            let covers = match claim.as_str() {
                "jti" => grant.token_id().is_some_and(is_listed),
                "sub" => grant.subject().is_some_and(|subject| is_listed(subject)),
                _ => claims.get_or_insert_with(|| grant.claims()).texts(claim).any(|value| is_listed(&value)),
            };
            if covers {
                return true;
            }
        }
        false
    }
}

impl Table {
    fn len(&self) -> usize {
        self.posted.len() + self.filed.len()
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, values)| values.len()).sum()
    }

    fn holds(&self, revocation: &Revocation) -> bool {
        self.0.iter().any(|(claim, values)| *claim == revocation.claim && values.contains_key(&revocation.value))
    }

    fn insert(&mut self, revocation: Revocation) -> Result<(), RevocationError> {
        let Revocation { claim, value, until } = revocation;
        let at = match self.0.iter().position(|(known, _)| *known == claim) {
            Some(at) => at,
            None if self.0.len() >= MAX_CLAIMS => return Err(RevocationError::Claims),
            None => {
                self.0.push((claim, HashMap::new()));
                self.0.len() - 1
            }
        };
        self.0[at]
            .1
            .entry(value)
            .and_modify(|known| *known = known.zip(until).map(|(one, other)| one.max(other)))
            .or_insert(until);
        Ok(())
    }

    fn forget_past(&mut self, now: SystemTime) {
        for (_, values) in &mut self.0 {
            values.retain(|_, until| until.is_none_or(|until| now < until));
        }
        self.0.retain(|(_, values)| !values.is_empty());
    }
}

#[cfg(test)]
mod tests;
