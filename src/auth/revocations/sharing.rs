//! The part of a gateway's revocations that it shares with others.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Reach, RestoreError, RevocationId, Revocations, SharedRevocations};
use crate::auth::revocation::{Revocation, RevocationError};

impl Revocations {
    /// Carries posted entries to other gateways from now on. Earlier clones do not: `shared` works on one.
    #[must_use]
    pub fn with_shared(self, shared: Arc<dyn SharedRevocations>) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Carries a revocation that has just been posted to all gateways. Waits a few seconds at most.
    pub async fn share(&self, id: RevocationId) -> Reach {
        match &self.shared {
            Some(shared) => shared.revoked(id).await,
            None => Reach::All,
        }
    }

    /// Removes a posted revocation for all gateways. Waits a few seconds at most.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub async fn restore_everywhere(&self, id: RevocationId) -> Result<Reach, RestoreError> {
        match &self.shared {
            Some(shared) => shared.restore(id).await,
            None => self.restore(&id, SystemTime::now()).map(|()| Reach::All),
        }
    }

    /// Returns the posted revocation with this id, if it is in force.
    pub fn posted(&self, id: &RevocationId, now: SystemTime) -> Option<Revocation> {
        let table = self.table.read();
        let entry = table.posted.get(id).filter(|entry| entry.is_in_force(now))?;
        Some(Revocation { claim: (*entry.claim).clone(), value: entry.value.to_string(), until: entry.until })
    }

    /// Puts a revocation of another gateway in place of the posted one, with its end. Tells nobody: see
    /// [`Self::notify`].
    ///
    /// # Errors
    /// [`RevocationError::Full`], [`RevocationError::Claims`].
    pub fn replace_posted(&self, revocation: Revocation) -> Result<(), RevocationError> {
        let id = RevocationId::of(&revocation.claim, &revocation.value);
        let mut table = self.table.write();
        if table.len() >= self.capacity && !table.posted.contains(&id) {
            return Err(RevocationError::Full { capacity: self.capacity });
        }
        table.posted.replace(revocation).map(drop)
    }

    /// Removes a posted revocation because another gateway did. Tells nobody: see [`Self::notify`].
    pub fn remove_posted(&self, id: &RevocationId) {
        self.table.write().posted.remove(id);
    }

    /// Tells open responses that they may have to end.
    pub fn notify(&self) {
        self.changes.notify();
    }
}
