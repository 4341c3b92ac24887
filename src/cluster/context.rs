//! The parts that all shared streams of one gateway use.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::engine::{Engine, EngineError, LogId};
use super::keys::ClusterKeys;
use super::nodes::Nodes;
use super::observer::{ClusterErrorKind, ClusterObserver};
use super::record::RecordError;
use crate::runtime::arithmetic;
use crate::runtime::moment::Moment;
use crate::runtime::tasks::Tasks;

/// The parts that all shared streams of one gateway use.
pub(super) struct ClusterContext {
    pub engine: Arc<dyn Engine>,
    pub keys: ClusterKeys,
    pub nodes: Nodes,
    pub observer: Arc<dyn ClusterObserver>,
    /// Bounds the looks and claims that are under way at the same time.
    pub claims: Semaphore,
    pub written: RecentWrites,
    pub tasks: Tasks,
    /// RandomBits bits for marks, lives, epochs and jitter.
    pub random: RandomBits,
    /// Breaks the protocol in one place, for the tests of the tests.
    #[cfg(test)]
    pub mutant: super::fake::Mutant,
}

/// A source of random bits.
pub(super) struct RandomBits(Box<dyn Fn() -> u64 + Send + Sync>);

/// The logs that this gateway wrote to lately.
#[derive(Debug, Default)]
pub(super) struct RecentWrites(Mutex<HashMap<LogId, (Instant, u64)>>);

impl ClusterContext {
    /// Counts a failed call of the engine.
    pub(super) fn count_error(&self, error: &EngineError) {
        tracing::debug!(%error, "engine call failed");
        self.observer.failed(ClusterErrorKind::Engine(error.kind));
    }

    /// Counts a message that is not the cluster's, or that this version cannot read.
    pub(super) fn count_unreadable(&self, log: &LogId, error: RecordError) {
        tracing::debug!(%log, %error, "record unreadable");
        self.observer.failed(match error {
            RecordError::Signature | RecordError::Damaged => ClusterErrorKind::Signature,
            RecordError::Format(_) => ClusterErrorKind::Format,
        });
    }

    /// Returns true for the mutant that applies records whatever they continue.
    pub(super) fn ignores_marks(&self) -> bool {
        #[cfg(test)]
        return self.mutant == super::fake::Mutant::NoMarks;
        #[cfg(not(test))]
        false
    }

    /// Returns a random part of a duration.
    pub(super) fn jitter(&self, most: Duration) -> Duration {
        arithmetic::scale(most, f64::from((self.random.bits() >> 32) as u32) / f64::from(u32::MAX))
    }
}

impl RandomBits {
    /// Uses the system's random numbers.
    pub(super) fn of_system() -> Self {
        Self::new(|| getrandom::u64().expect("the system provides random numbers"))
    }

    /// Uses another source.
    pub(super) fn new(bits: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Box::new(bits))
    }

    /// Returns 64 random bits.
    pub(super) fn bits(&self) -> u64 {
        (self.0)()
    }

    /// Returns 64 random bits that are not all 0.
    pub(super) fn mark(&self) -> u64 {
        self.bits().max(1)
    }

    /// Returns the epoch of minted ids: 64 random bits in hexadecimal.
    pub(super) fn epoch(&self) -> String {
        format!("{:016x}", self.bits())
    }
}

impl fmt::Debug for RandomBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RandomBits")
    }
}

/// Completes with the future, if there is one. Cancel-safe.
pub(super) async fn finished<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Returns the present moment by the clock of timers, which tests set.
pub(super) fn moment() -> Moment {
    Moment::at(Instant::now().into_std())
}

impl RecentWrites {
    /// Records that a record was stored.
    pub(super) fn record(&self, log: LogId, sequence: u64) {
        self.0.lock().insert(log, (Instant::now(), sequence));
    }

    /// Returns what was written within `window`, the newest [`MAX_WRITES`], and forgets the rest.
    pub(super) fn within(&self, window: Duration) -> Vec<(LogId, u64)> {
        let now = Instant::now();
        let mut written = self.0.lock();
        written.retain(|_, (at, _)| now.duration_since(*at) <= window);
        let mut recent: Vec<_> = written.iter().map(|(log, (at, sequence))| (*at, *log, *sequence)).collect();
        drop(written);
        recent.sort_by(|a, b| b.cmp(a));
        recent.truncate(MAX_WRITES);
        recent.into_iter().map(|(_, log, sequence)| (log, sequence)).collect()
    }
}

/// The most logs in one beat. Followers of others find a lost last record at the next one.
const MAX_WRITES: usize = 16_384;

/// The most looks and claims of one gateway that are under way at the same time.
pub(super) const MAX_CLAIMS: usize = 128;
