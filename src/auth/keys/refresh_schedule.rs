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
pub const MAX_SPACING: Duration = Duration::from_secs(300);

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
    gate: Mutex<Cooldown>,
    wanted: Notify,
    rounds: watch::Sender<FetchGenerations>,
}

#[derive(Debug, Default)]
struct Cooldown {
    /// Someone asked for a fetch that has not begun.
    wanted: bool,
    shut_until: Option<Instant>,
    /// The last round that brought a key which was asked for.
    fruitful: u64,
}

/// How many fetches have begun, and how many of them are over.
#[derive(Clone, Copy, Debug, Default)]
struct FetchGenerations {
    begun: u64,
    over: u64,
}

impl RefreshSchedule {
    /// A document at `url`, fetched every `refresh`.
    pub fn new(url: Url, refresh: Duration) -> Self {
        let rounds = watch::Sender::new(FetchGenerations::default());
        Self { url, refresh: refresh.max(MIN_REFRESH), gate: Mutex::default(), wanted: Notify::new(), rounds }
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long a fruitless fetch shuts the gate: `refresh`, at most [`MAX_SPACING`].
    pub fn spacing(&self) -> Duration {
        self.refresh.min(MAX_SPACING)
    }

    /// A fetch begins.
    pub fn begin(&self) {
        // The flag falls before the fetch: whoever raises it from now on wants a later one.
        self.gate.lock().wanted = false;
        self.rounds.send_modify(|rounds| rounds.begun += 1);
    }

    /// The fetch is over, and its keys, if any, are in place.
    pub fn end(&self) {
        self.rounds.send_modify(|rounds| rounds.over = rounds.begun);
    }

    /// Completes when the next fetch is due. `failures` is how many failed in a row. Cancel-safe.
    pub async fn due(&self, failures: u32) {
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
                () = self.wanted.notified() => if self.gate.lock().wanted { return },
            }
        }
    }

    /// Asks for a fetch because a key is missing, and waits for it, at most [`MAX_WAIT`].
    ///
    /// Returns the round that was waited for, or none if the gate is shut or it took too long. `is_loaded` says whether
    /// there ever was a document: as long as there was none, the schedule alone decides, and a running fetch is waited
    /// for.
    pub async fn ask(&self, is_loaded: bool) -> Option<u64> {
        // Watch first, look second: a round that ends in between is seen.
        let mut rounds = self.rounds.subscribe();
        let round = {
            let mut gate = self.gate.lock();
            let seen = *rounds.borrow_and_update();
            let is_open = gate.shut_until.is_none_or(|until| until <= Instant::now());
            if !is_loaded {
                let first = seen.begun.max(1);
                (seen.over < first).then_some(first)
            } else if gate.wanted {
                Some(seen.begun + 1)
            } else if is_open {
                gate.wanted = true;
                gate.shut_until = Some(Instant::now() + self.spacing());
                self.wanted.notify_one();
                Some(seen.begun + 1)
            } else {
                (seen.over < seen.begun).then_some(seen.begun)
            }
        }?;
        timeout(MAX_WAIT, rounds.wait_for(|rounds| rounds.over >= round)).await.ok()?.ok()?;
        Some(round)
    }

    /// The round brought the key that was asked for: the gate opens again, once per round.
    pub fn bore_fruit(&self, round: u64) {
        let mut gate = self.gate.lock();
        if gate.fruitful < round {
            gate.fruitful = round;
            gate.shut_until = None;
        }
    }
}

#[cfg(test)]
mod tests;
