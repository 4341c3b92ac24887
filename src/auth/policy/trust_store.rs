//! Everything that can take a permission back: the issuers, their keys, the revocations.
//!
//! There is one for the life of the process. A number goes up whenever it may have taken something back; streams watch
//! the number and then ask whether their own [`Grant`] still stands, which is a few look-ups. Does not end streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::auth::change_signal::ChangeSignal;
use crate::auth::grant::Grant;
use crate::auth::keys::issuer::Issuer;
use crate::auth::revocations::Revocations;

/// Issuers by their name in the configuration.
pub type Issuers = BTreeMap<String, Arc<Issuer>>;

/// Whether a grant still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    /// It does.
    Valid,
    /// Its token has expired.
    Expired,
    /// Its token has been revoked.
    Revoked,
    /// Its issuer is gone, or no longer trusts the key.
    KeyRemoved,
}

/// See the module.
#[derive(Debug)]
pub struct TrustStore {
    issuers: ArcSwap<Issuers>,
    revocations: Revocations,
    changes: ChangeSignal,
}

impl TrustStore {
    /// Without issuers yet, with room for `entries` revocations.
    pub fn new(entries: usize) -> Self {
        let changes = ChangeSignal::default();
        let revocations = Revocations::new(entries, changes.clone());
        Self { issuers: ArcSwap::default(), revocations, changes }
    }

    /// What issuers are to be given when they are loaded.
    pub fn change_signal(&self) -> ChangeSignal {
        self.changes.clone()
    }

    /// Tells when a grant may have been taken back. Ask [`Self::status`] again after every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The issuers of this moment.
    pub fn issuers(&self) -> Arc<Issuers> {
        self.issuers.load_full()
    }

    /// Puts other issuers in place, as a reloaded configuration has them.
    pub fn replace_issuers(&self, issuers: Issuers) {
        self.issuers.store(Arc::new(issuers));
        self.changes.notify();
    }

    /// What has been revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Returns whether the grant is still valid.
    pub fn status(&self, grant: &Grant, now: SystemTime) -> GrantStatus {
        if now >= grant.expires_at() {
            return GrantStatus::Expired;
        }
        let issuers = self.issuers.load();
        let (key, algorithm) = grant.key();
        // An issuer whose keys could not be had yet, as after a reload, has not taken any away.
        let stands_behind = |issuer: &Arc<Issuer>| issuer.keys().trusts(key, algorithm) || !issuer.is_loaded();
        if !issuers.get(&**grant.issuer()).is_some_and(stands_behind) {
            return GrantStatus::KeyRemoved;
        }
        if self.revocations.covers(grant, now) { GrantStatus::Revoked } else { GrantStatus::Valid }
    }
}
