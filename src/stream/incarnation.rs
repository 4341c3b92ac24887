//! One life of a stream: what makes two events, or two ids, the same.

use super::log::{Fingerprints, Ids, Seed};
use std::time::Duration;

use super::feed::IdMinter;

/// One life of a stream: what makes two events or two ids the same.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub fingerprints: Fingerprints,
    pub minter: IdMinter,
    /// The life began earlier, and its past was kept.
    pub is_restored: bool,
    /// The life goes on after it was cut off: clients may hold ids that the upstream has still to bring again.
    pub is_unclean: bool,
    /// When the source was connected for the first time since.
    pub connected: Option<tokio::time::Instant>,
}

impl Incarnation {
    /// A life of its own.
    pub fn new(ids: Ids) -> Self {
        let (fingerprints, minter) = (Fingerprints::random(), IdMinter::new(ids));
        Self { fingerprints, minter, is_restored: false, is_unclean: false, connected: None }
    }

    /// One that goes on after so many `events`. `is_clean`: nothing of it is missing.
    pub fn continued(ids: Ids, epoch: String, seed: Seed, events: u64, is_clean: bool) -> Self {
        let minter = if is_clean {
            IdMinter::with_epoch(ids, epoch)
        } else {
            IdMinter::after_unclean_shutdown(ids, epoch, events)
        };
        let fingerprints = Fingerprints::with_seed(seed);
        Self { fingerprints, minter, is_restored: true, is_unclean: !is_clean, connected: None }
    }

    /// Whether the source has ever been connected in it.
    pub fn has_been_live(&self) -> bool {
        self.is_restored || self.connected.is_some()
    }

    /// Whether the upstream may still bring an id that was given to a client before the stream was cut off.
    pub fn may_reappear(&self, id: &str) -> bool {
        let is_time = self.connected.is_none_or(|connected| connected.elapsed() < REAPPEARANCE_TIMEOUT);
        self.is_unclean && is_time && !self.minter.looks_minted(id)
    }
}

/// How long a client with an id that is not in the log of a stream that was cut off is kept waiting for the upstream to
/// bring that id again, from when the upstream is first connected.
pub const REAPPEARANCE_TIMEOUT: Duration = Duration::from_secs(2);
