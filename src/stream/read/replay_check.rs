//! The events that a client has already read and that the log may still append.

use std::sync::Arc;

/// The newest events of a history, which a log that was empty may still append: the stream's own connection can be
/// slower than the request for history.
#[derive(Clone, Debug, Default)]
pub struct ReplayCheck {
    /// Fingerprints, oldest first, each with true if the event has an id.
    newest: Arc<[(u64, bool)]>,
    /// The index of the next expected event, once the first has matched.
    expected: Option<usize>,
}

impl ReplayCheck {
    /// Expects these events, oldest first.
    pub fn new(newest: Arc<[(u64, bool)]>) -> Self {
        Self { newest, expected: None }
    }

    /// Returns true if this event of the log is a duplicate. Must be called for each event in order until it returns
    /// false.
    pub fn matches(&mut self, fingerprint: u64, has_own_id: bool) -> bool {
        let at = match self.expected {
            Some(expected) => {
                self.newest.get(expected).is_some_and(|(known, _)| *known == fingerprint).then_some(expected)
            }
            // Equal events without an id may be different events. Only one with an id shows where the log starts.
            None if !has_own_id => None,
            None => self.newest.iter().rposition(|known| *known == (fingerprint, true)),
        };
        self.expected = at.map(|at| at + 1);
        at.is_some()
    }

    /// Returns true if no duplicates are expected.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }
}
