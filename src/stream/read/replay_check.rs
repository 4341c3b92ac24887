//! Events that a client has read already and that the log may bring once more.

use std::sync::Arc;

/// Events, the newest of those caught, that a log without events may bring once more: the stream's own connection can be
/// slower than the extra one.
#[derive(Clone, Debug, Default)]
pub struct ReplayCheck {
    /// Fingerprints in order, and whether the event has a name.
    newest: Arc<[(u64, bool)]>,
    /// Which of them comes expected, once the first has come.
    expected: Option<usize>,
}

impl ReplayCheck {
    /// For these events, oldest first.
    pub fn new(newest: Arc<[(u64, bool)]>) -> Self {
        Self { newest, expected: None }
    }

    /// Whether this event of the log is one that has been caught. To be asked for each in order, until one is not.
    pub fn matches(&mut self, fingerprint: u64, has_own_id: bool) -> bool {
        let at = match self.expected {
            Some(expected) => {
                self.newest.get(expected).is_some_and(|(known, _)| *known == fingerprint).then_some(expected)
            }
            // An event without a name may well happen twice: only a named one shows where the log begins.
            None if !has_own_id => None,
            None => self.newest.iter().rposition(|known| *known == (fingerprint, true)),
        };
        self.expected = at.map(|at| at + 1);
        at.is_some()
    }

    /// Whether there is nothing that could come once more.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }
}
