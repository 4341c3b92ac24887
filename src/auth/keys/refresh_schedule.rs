//! The schedule of fetches of a JWKS document.
//!
//! A document is fetched at intervals, and when a token names an unknown key. Senders of tokens control the second
//! kind, so each such fetch takes a token from a bucket of [`MAX_TURNS`], which gains one every [`TURN_INTERVAL`]. A fetch
//! that brought the requested key returns its token, because only the issuer can cause that. A flood of made-up `kid`s
//! therefore causes six fetches a minute, whatever its size, and a rotation is noticed within ten seconds even then. Does
//! not fetch and does not hold keys; the issuer does.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::runtime::backoff::Backoff;
use crate::runtime::token_bucket::{TokenBucket, TokenRate};
use crate::runtime::{arithmetic, jitter};

/// Maximum number of fetches that unknown keys may cause at once.
pub(super) const MAX_TURNS: u32 = 6;

/// Time after which another such fetch is allowed. `issuers.keys.refresh` applies if it is shorter.
pub(super) const TURN_INTERVAL: Duration = Duration::from_secs(10);

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
    requests: Mutex<Requests>,
    fetch_wanted: Notify,
    generations: watch::Sender<FetchGenerations>,
}

#[derive(Debug, Default)]
struct Requests {
    /// Whether a fetch was requested that has not started yet.
    fetch_wanted: bool,
    bucket: TokenBucket,
    /// The last fetch that brought a requested key.
    last_useful: u64,
}

/// The outcome of a request for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedFetch {
    /// The fetch of this number began after the request. It has succeeded, and its keys are in use.
    Finished(u64),
    /// The fetch failed or did not finish in time, or none is under way. Another one may find the key later.
    NotInTime,
    /// Unknown keys have caused too many fetches. One that was under way, and may be older than the token, was waited
    /// for. Another one is allowed after this time, and may find the key.
    Refused(Duration),
}

/// The number of fetches that have started and that have finished, and the number of the last one that succeeded.
#[derive(Clone, Copy, Debug, Default)]
struct FetchGenerations {
    started: u64,
    finished: u64,
    succeeded: u64,
}

impl RefreshSchedule {
    /// Schedules the document at `url`, fetched every `refresh`.
    pub(super) fn new(url: Url, refresh: Duration) -> Self {
        let generations = watch::Sender::new(FetchGenerations::default());
        Self {
            url,
            refresh: refresh.max(MIN_REFRESH),
            requests: Mutex::default(),
            fetch_wanted: Notify::new(),
            generations,
        }
    }

    /// Returns the URL of the document.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the time after which the bucket gains a token.
    fn turn_interval(&self) -> Duration {
        self.refresh.min(TURN_INTERVAL)
    }

    /// Records that a fetch starts.
    pub(super) fn fetch_started(&self) {
        // Cleared before the fetch starts: a request from now on needs a later one.
        self.requests.lock().fetch_wanted = false;
        self.generations.send_modify(|generations| generations.started += 1);
    }

    /// Records that the fetch has finished and, if it succeeded, its keys are in use.
    pub(super) fn fetch_finished(&self, has_succeeded: bool) {
        self.generations.send_modify(|generations| {
            generations.finished = generations.started;
            if has_succeeded {
                generations.succeeded = generations.started;
            }
        });
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
                () = self.fetch_wanted.notified() => if self.requests.lock().fetch_wanted { return },
            }
        }
    }

    /// Requests a fetch because a key is missing, and waits up to [`MAX_WAIT`] for it.
    ///
    /// If no document was ever loaded (`is_loaded`), only the schedule starts fetches, and the first one is waited for.
    pub(super) async fn request_fetch(&self, is_loaded: bool) -> RequestedFetch {
        // Subscribe before reading, so that a fetch that finishes in between is noticed.
        let mut generations = self.generations.subscribe();
        let (generation, allowed_at) = {
            let mut requests = self.requests.lock();
            let current = *generations.borrow_and_update();
            if !is_loaded {
                (current.started.max(1), None)
            } else if requests.fetch_wanted {
                (current.started + 1, None)
            } else if let Err(wait) = requests.take(self.turn_interval()) {
                (current.started, Some(Instant::now() + wait))
            } else {
                requests.fetch_wanted = true;
                self.fetch_wanted.notify_one();
                (current.started + 1, None)
            }
        };
        let finished = generations.wait_for(|generations| generations.finished >= generation);
        let has_succeeded = match timeout(MAX_WAIT, finished).await {
            Ok(Ok(generations)) => generations.succeeded >= generation,
            Ok(Err(_)) | Err(_) => false,
        };
        match allowed_at {
            Some(at) => RequestedFetch::Refused(at.duration_since(Instant::now())),
            None if has_succeeded => RequestedFetch::Finished(generation),
            None => RequestedFetch::NotInTime,
        }
    }

    /// Records that a fetch brought the requested key. Returns its token to the bucket, once per fetch.
    pub(super) fn confirm_useful(&self, generation: u64) {
        let mut requests = self.requests.lock();
        if requests.last_useful < generation {
            requests.last_useful = generation;
            requests.bucket.put_back(self.turn_interval());
        }
    }
}

impl Requests {
    /// Takes a token from the bucket.
    ///
    /// # Errors
    /// The bucket is empty, and has a token again after this time.
    fn take(&mut self, interval: Duration) -> Result<(), Duration> {
        let rate = TokenRate { interval, burst: interval * MAX_TURNS };
        self.bucket.take(rate, Instant::now(), Duration::ZERO).map(|_| ())
    }
}

#[cfg(test)]
mod tests;
