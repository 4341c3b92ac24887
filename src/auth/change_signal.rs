//! The signal that a permission may have been taken back.

use tokio::sync::watch;

/// The number that goes up when a permission may have been taken back.
#[derive(Clone, Debug)]
pub struct ChangeSignal(watch::Sender<u64>);

impl Default for ChangeSignal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl ChangeSignal {
    /// Something may have been taken back.
    pub fn notify(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    /// Tells of every later announcement; several may become one.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
