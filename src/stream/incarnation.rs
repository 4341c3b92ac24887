//! The incarnation of a stream: the epoch of its minted ids and the seed of its fingerprints.
//!
//! A stream that is restored from the store continues an incarnation of an earlier process.

use super::log::{Fingerprints, Ids, Seed};
use std::time::Duration;

use super::feed::IdMinter;

/// The epoch of minted ids and the seed of fingerprints: within one incarnation, equal means the same event.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub fingerprints: Fingerprints,
    pub minter: IdMinter,
    /// True if the incarnation began in an earlier process and its log was stored.
    pub is_restored: bool,
    /// True if that process did not shut down cleanly. Clients may then hold ids that were not stored and that the
    /// upstream will send again.
    pub is_unclean: bool,
    /// The time of the first successful connection in this process.
    pub connected: Option<tokio::time::Instant>,
}

impl Incarnation {
    /// Starts a new incarnation.
    pub(super) fn new(ids: Ids) -> Self {
        let (fingerprints, minter) = (Fingerprints::random(), IdMinter::new(ids));
        Self { fingerprints, minter, is_restored: false, is_unclean: false, connected: None }
    }

    /// Continues a stored incarnation after `events` events. `is_clean` is true if everything was stored.
    pub(super) fn continued(ids: Ids, epoch: String, seed: Seed, events: u64, is_clean: bool) -> Self {
        let minter = if is_clean {
            IdMinter::with_epoch(ids, epoch)
        } else {
            IdMinter::after_unclean_shutdown(ids, epoch, events)
        };
        let fingerprints = Fingerprints::with_seed(seed);
        Self { fingerprints, minter, is_restored: true, is_unclean: !is_clean, connected: None }
    }

    /// Returns true if the source has ever been connected in this incarnation.
    pub(super) fn has_been_live(&self) -> bool {
        self.is_restored || self.connected.is_some()
    }

    /// Returns true if the upstream may still send `id` again. That is possible only after an unclean shutdown, for ids
    /// that the upstream assigned, until [`REAPPEARANCE_TIMEOUT`] after the first connection.
    pub(super) fn may_reappear(&self, id: &str) -> bool {
        let is_time = self.connected.is_none_or(|connected| connected.elapsed() < REAPPEARANCE_TIMEOUT);
        self.is_unclean && is_time && !self.minter.looks_minted(id)
    }
}

/// The longest time that a client waits for its id to reappear after an unclean shutdown, from the first successful
/// connection to the upstream.
pub const REAPPEARANCE_TIMEOUT: Duration = Duration::from_secs(2);
