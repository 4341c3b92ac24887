//! The readers of a stream: how many there are, and the end of a stream that has none.

use tokio::sync::watch;

use super::EventStream;
use crate::stream::progress::{Phase, Progress};
use crate::stream::read::WaiterSet;
use crate::stream::unread::ReaderCount;

impl EventStream {
    /// Counts a new reader and returns its view of the progress.
    pub(in crate::stream) fn add_reader(&self) -> watch::Receiver<Progress> {
        self.readers.add();
        let progress = self.progress.subscribe();
        if let Some(shared) = self.shared() {
            shared.notify_reader();
        }
        progress
    }

    /// Counts a reader less.
    pub(in crate::stream) fn remove_reader(&self) {
        self.readers.remove(!self.progress.borrow().phase.is_kept());
    }

    /// Returns the count of readers, and their addresses.
    pub(in crate::stream) fn readers(&self) -> &ReaderCount {
        &self.readers
    }

    /// Returns the set of readers.
    pub fn waiters(&self) -> &WaiterSet {
        &self.waiters
    }

    /// Returns the number of readers that ever subscribed. Shows that a reader came and left within the linger.
    pub fn subscriptions_begun(&self) -> u64 {
        self.readers.begun()
    }

    /// Returns the number of readers.
    pub fn subscribers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// Returns a view of the progress. Counts as a reader while it is held.
    pub(in crate::stream) fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Ends the stream before its end, because a client asks for it. Closes the upstream connection. Without effect on a
    /// stream that has ended. Completes when the stream has ended. Cancel-safe.
    pub async fn stop(&self) {
        self.request_stop();
        let mut progress = self.watch_progress();
        // The sender is `self`, so this is no error.
        let _ =
            progress.wait_for(|progress| progress.phase.is_kept() || matches!(progress.phase, Phase::Refused(_))).await;
    }

    /// Asks to end the stream before its end, as [`Self::stop`] does, and does not wait.
    pub(in crate::stream) fn request_stop(&self) {
        match self.shared() {
            Some(shared) => shared.request_stop(),
            None => self.stop.notify_one(),
        }
    }

    /// Completes when the stream is to end before its end. For the ingest alone.
    pub(in crate::stream) async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Stops the ingest at once. The stream must be out of the registry and have no readers.
    pub(in crate::stream) fn evict(&self) {
        self.eviction.notify_one();
    }

    /// Completes when the stream has been evicted. For the ingest alone.
    pub(in crate::stream) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Completes when the stream has no readers. Cancel-safe.
    pub async fn unsubscribed(&self) {
        self.progress.closed().await;
    }
}
