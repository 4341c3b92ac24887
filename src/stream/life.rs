//! One life of a stream: what makes two events, or two ids, the same.

use super::fingerprint::Fingerprints;
use super::journal::RETURN_PATIENCE;
use super::minter::Minter;

/// One life of a stream: what makes two events or two ids the same.
#[derive(Debug)]
pub(super) struct Life {
    pub fingerprints: Fingerprints,
    pub minter: Minter,
    /// The life began earlier, and its past was kept.
    pub has_past: bool,
    /// The life goes on after it was cut off: clients may hold ids that the upstream has still to bring again.
    pub was_cut_off: bool,
    /// When the source was connected for the first time since.
    pub connected: Option<tokio::time::Instant>,
}

impl Life {
    /// Whether the upstream may still bring an id that was given to a client before the stream was cut off.
    pub fn may_bring(&self, id: &str) -> bool {
        let is_time = self.connected.is_none_or(|connected| connected.elapsed() < RETURN_PATIENCE);
        self.was_cut_off && is_time && !self.minter.is_own_form(id)
    }
}
