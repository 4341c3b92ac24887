//! When a JWKS document is fetched.
//!
//! On a schedule, and when a token names a key that is not known. The second kind is in the hands of whoever sends
//! tokens, so it passes a gate: a fetch that did not bring the key that was asked for shuts the gate for
//! [`RefreshSchedule::spacing`]. One that did bring it leaves the gate open, since only the issuer can cause that. Thus a flood
//! of made-up `kid`s causes one fetch in that time, whatever its size, and a rotation is noticed at its first token.
//! Does not fetch and does not hold keys: the issuer does.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::runtime::backoff::Backoff;
use crate::runtime::{arithmetic, jitter};

/// Longest time the gate stays shut, for issuers that are refreshed more seldom than that.
pub const MAX_COOLDOWN: Duration = Duration::from_secs(300);

/// Longest time a request waits for a fetch.
pub const MAX_WAIT: Duration = Duration::from_secs(2);

/// Shortest time between two scheduled fetches.
const MIN_REFRESH: Duration = Duration::from_millis(100);

/// The schedule of one document.
#[derive(Debug)]
pub struct RefreshSchedule {
    url: Url,
    refresh: Duration,
    /// Never held across an await.
    cooldown: Mutex<Cooldown>,
    fetch_wanted: Notify,
    generations: watch::Sender<FetchGenerations>,
}

#[derive(Debug, Default)]
struct Cooldown {
    /// Someone asked for a fetch that has not begun.
    fetch_wanted: bool,
    until: Option<Instant>,
    /// The last round that brought a key which was asked for.
    last_useful: u64,
}

/// How many fetches have begun, and how many of them are over.
#[derive(Clone, Copy, Debug, Default)]
struct FetchGenerations {
    started: u64,
    finished: u64,
}

impl RefreshSchedule {
    /// A document at `url`, fetched every `refresh`.
    pub fn new(url: Url, refresh: Duration) -> Self {
        let generations = watch::Sender::new(FetchGenerations::default());
        Self {
            url,
            refresh: refresh.max(MIN_REFRESH),
            cooldown: Mutex::default(),
            fetch_wanted: Notify::new(),
            generations,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long a fruitless fetch shuts the gate: `refresh`, at most [`MAX_SPACING`].
    pub fn cooldown_period(&self) -> Duration {
        self.refresh.min(MAX_COOLDOWN)
    }

    /// A fetch begins.
    pub fn fetch_started(&self) {
        // The flag falls before the fetch: whoever raises it from now on wants a later one.
        self.cooldown.lock().fetch_wanted = false;
        self.generations.send_modify(|generations| generations.started += 1);
    }

    /// The fetch is over, and its keys, if any, are in place.
    pub fn fetch_finished(&self) {
        self.generations.send_modify(|generations| generations.finished = generations.started);
    }

    /// Completes when the next fetch is due. `failures` is how many failed in a row. Cancel-safe.
    pub async fn next_due(&self, failures: u32) {
        let delay = match failures.checked_sub(1) {
            // Up to a tenth later: gateways that started together do not ask together, and never more often than told.
            None => arithmetic::scale(self.refresh, 1.0 + 0.1 * jitter::share()),
            Some(earlier) => {
                let most = self.refresh.min(Duration::from_secs(60));
                Backoff { initial: most.min(Duration::from_secs(1)), max: most }.delay(earlier, jitter::share())
            }
        };
        let scheduled = tokio::time::sleep(delay);
        tokio::pin!(scheduled);
        loop {
            tokio::select! {
                () = &mut scheduled => return,
                // A permit may be left over from a wish that the schedule has granted meanwhile.
                () = self.fetch_wanted.notified() => if self.cooldown.lock().fetch_wanted { return },
            }
        }
    }

    /// Asks for a fetch because a key is missing, and waits for it, at most [`MAX_WAIT`].
    ///
    /// Returns the round that was waited for, or none if the gate is shut or it took too long. `is_loaded` says whether
    /// there ever was a document: as long as there was none, the schedule alone decides, and a running fetch is waited
    /// for.
    pub async fn request_fetch(&self, is_loaded: bool) -> Option<u64> {
        // Watch first, look second: a round that ends in between is seen.
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

    /// The round brought the key that was asked for: the gate opens again, once per round.
    pub fn confirm_useful(&self, generation: u64) {
        let mut cooldown = self.cooldown.lock();
        if cooldown.last_useful < generation {
            cooldown.last_useful = generation;
            cooldown.until = None;
        }
    }
}

#[cfg(test)]
mod tests;
