//! The schedule of fetches of a JWKS document.
//!
//! A document is fetched at intervals, and when a token names an unknown key. Senders of tokens control the second
//! kind, so it is limited by a cooldown: a fetch that did not bring the requested key bars further requests for
//! [`RefreshSchedule::cooldown_period`]. A fetch that brought it ends the cooldown, because only the issuer can cause
//! that. A flood of made-up `kid`s therefore causes one fetch per period, whatever its size, while a rotation is
//! noticed at its first token. Does not fetch and does not hold keys; the issuer does.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::runtime::backoff::Backoff;
use crate::runtime::{arithmetic, jitter};

/// Maximum cooldown, for issuers with longer refresh intervals.
pub(super) const MAX_COOLDOWN: Duration = Duration::from_secs(300);

/// Maximum time for which a request waits for a fetch.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);

/// Minimum interval between two scheduled fetches.
const MIN_REFRESH: Duration = Duration::from_millis(100);

/// The fetch schedule of one document.
#[derive(Debug)]
pub(super) struct RefreshSchedule {
    url: Url,
    refresh: Duration,
    /// Never held across an await.
    cooldown: Mutex<Cooldown>,
    fetch_wanted: Notify,
    generations: watch::Sender<FetchGenerations>,
}

#[derive(Debug, Default)]
struct Cooldown {
    /// Whether a fetch was requested that has not started yet.
    fetch_wanted: bool,
    until: Option<Instant>,
    /// The last fetch that brought a requested key.
    last_useful: u64,
}

/// The number of fetches that have started and that have finished.
#[derive(Clone, Copy, Debug, Default)]
struct FetchGenerations {
    started: u64,
    finished: u64,
}

impl RefreshSchedule {
    /// Schedules the document at `url`, fetched every `refresh`.
    pub(super) fn new(url: Url, refresh: Duration) -> Self {
        let generations = watch::Sender::new(FetchGenerations::default());
        Self {
            url,
            refresh: refresh.max(MIN_REFRESH),
            cooldown: Mutex::default(),
            fetch_wanted: Notify::new(),
            generations,
        }
    }

    /// Returns the URL of the document.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the time for which a useless fetch bars further ones: `refresh`, at most [`MAX_COOLDOWN`].
    pub(super) fn cooldown_period(&self) -> Duration {
        self.refresh.min(MAX_COOLDOWN)
    }

    /// Records that a fetch starts.
    pub(super) fn fetch_started(&self) {
        // Cleared before the fetch starts: a request from now on needs a later one.
        self.cooldown.lock().fetch_wanted = false;
        self.generations.send_modify(|generations| generations.started += 1);
    }

    /// Records that the fetch has finished and its keys, if any, are in use.
    pub(super) fn fetch_finished(&self) {
        self.generations.send_modify(|generations| generations.finished = generations.started);
    }

    /// Completes when the next fetch is due. `failures` is the number of consecutive failures. Cancel-safe.
    pub(super) async fn next_due(&self, failures: u32) {
        let delay = match failures.checked_sub(1) {
            // Delayed by up to a tenth, so that gateways that started together do not fetch together. Never earlier
            // than configured.
            None => arithmetic::scale(self.refresh, 1.0 + 0.1 * jitter::unit()),
            Some(earlier) => {
                let max = self.refresh.min(Duration::from_secs(60));
                Backoff { initial: max.min(Duration::from_secs(1)), max }.delay(earlier, jitter::unit())
            }
        };
        let scheduled = tokio::time::sleep(delay);
        tokio::pin!(scheduled);
        loop {
            tokio::select! {
                () = &mut scheduled => return,
                // The permit may be left over from a request that the schedule has met in the meantime.
                () = self.fetch_wanted.notified() => if self.cooldown.lock().fetch_wanted { return },
            }
        }
    }

    /// Requests a fetch because a key is missing, and waits up to [`MAX_WAIT`] for it.
    ///
    /// Returns the number of the fetch that was waited for, or `None` during the cooldown or after a timeout. If no
    /// document was ever loaded (`is_loaded`), only the schedule starts fetches, and the first one is waited for.
    pub(super) async fn request_fetch(&self, is_loaded: bool) -> Option<u64> {
        // Subscribe before reading, so that a fetch that finishes in between is noticed.
        let mut generations = self.generations.subscribe();
        let generation = {
            let mut cooldown = self.cooldown.lock();
            let current = *generations.borrow_and_update();
            let has_ended = cooldown.until.is_none_or(|until| until <= Instant::now());
            if !is_loaded {
                let first = current.started.max(1);
                (current.finished < first).then_some(first)
            } else if cooldown.fetch_wanted {
                Some(current.started + 1)
            } else if has_ended {
                cooldown.fetch_wanted = true;
                cooldown.until = Some(Instant::now() + self.cooldown_period());
                self.fetch_wanted.notify_one();
                Some(current.started + 1)
            } else {
                (current.finished < current.started).then_some(current.started)
            }
        }?;
        timeout(MAX_WAIT, generations.wait_for(|generations| generations.finished >= generation)).await.ok()?.ok()?;
        Some(generation)
    }

    /// Records that a fetch brought the requested key. Ends the cooldown, once per fetch.
    pub(super) fn confirm_useful(&self, generation: u64) {
        let mut cooldown = self.cooldown.lock();
        if cooldown.last_useful < generation {
            cooldown.last_useful = generation;
            cooldown.until = None;
        }
    }
}

#[cfg(test)]
mod tests;
