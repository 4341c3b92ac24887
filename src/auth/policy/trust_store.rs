//! Everything that can end a permission: the issuers, their keys, the revocations.
//!
//! Lives as long as the process. A counter goes up whenever a permission may have ended. Streams watch it and then ask
//! for the status of their own [`Grant`], which takes a few look-ups. Does not end streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::auth::change_signal::ChangeSignal;
use crate::auth::grant::Grant;
use crate::auth::keys::issuer::Issuer;
use crate::auth::revocations::{Revocations, SharedRevocations};

/// Issuers by their name in the configuration.
pub type Issuers = BTreeMap<String, Arc<Issuer>>;

/// The status of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    /// The grant is valid.
    Valid,
    /// The token has expired.
    Expired,
    /// The token has been revoked.
    Revoked,
    /// The issuer was removed, or no longer trusts the key.
    KeyRemoved,
}

/// The issuers and revocations of a gateway.
#[derive(Debug)]
pub struct TrustStore {
    issuers: ArcSwap<Issuers>,
    revocations: Revocations,
    changes: ChangeSignal,
}

impl TrustStore {
    /// Makes a store without issuers, with room for `entries` revocations.
    pub fn new(entries: usize) -> Self {
        let changes = ChangeSignal::default();
        let revocations = Revocations::new(entries, changes.clone());
        Self { issuers: ArcSwap::default(), revocations, changes }
    }

    /// Carries posted revocations to other gateways from now on. `make` gets the table, without the way to others.
    #[must_use]
    pub fn with_shared_revocations(self, make: impl FnOnce(Revocations) -> Arc<dyn SharedRevocations>) -> Self {
        let shared = make(self.revocations.clone());
        Self { revocations: self.revocations.with_shared(shared), ..self }
    }

    /// Returns the signal that issuers and revocations notify.
    pub fn change_signal(&self) -> ChangeSignal {
        self.changes.clone()
    }

    /// Returns a receiver of changes. Check [`Self::status`] after each.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns the current issuers.
    pub fn issuers(&self) -> Arc<Issuers> {
        self.issuers.load_full()
    }

    /// Replaces the issuers after a configuration reload.
    pub fn replace_issuers(&self, issuers: Issuers) {
        self.issuers.store(Arc::new(issuers));
        self.changes.notify();
    }

    /// Returns the revocations.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Returns whether the grant is still valid at `now`, and if not, why.
    pub fn status(&self, grant: &Grant, now: SystemTime) -> GrantStatus {
        if now >= grant.expires_at() {
            return GrantStatus::Expired;
        }
        let issuers = self.issuers.load();
        let (key, algorithm) = grant.key();
        // An issuer whose keys have not been loaded yet, as after a reload, has not removed any.
        let is_trusted = |issuer: &Arc<Issuer>| issuer.keys().trusts(key, algorithm) || !issuer.is_loaded();
        if !issuers.get(&**grant.issuer()).is_some_and(is_trusted) {
            return GrantStatus::KeyRemoved;
        }
        if self.revocations.covers(grant, now) { GrantStatus::Revoked } else { GrantStatus::Valid }
    }
}
