//! The signal that responses may have to end.

use tokio::sync::watch;

/// A counter that goes up whenever a permission may have ended, and when the drain has started. Each response
/// holds a receiver of it, and one for both needs less memory than two. Clones share the counter.
#[derive(Clone, Debug)]
pub struct ChangeSignal(watch::Sender<u64>);

impl Default for ChangeSignal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl ChangeSignal {
    /// Tells all subscribers that their responses may have to end.
    pub fn notify(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    /// Returns a receiver of all later notifications. Several notifications may arrive as one.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
