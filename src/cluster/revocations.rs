//! Revocations that several gateways share.
//!
//! A posted revocation applies here at once and is then written to the engine, signed. A removal is written as well, and
//! kept as long as the revocation would have been. The engine's sequence orders both. Each gateway reads all of them
//! before it is ready, then hears of new ones, and reads all again after each reconnect and every 30 s. What could not be
//! written waits and is tried again. Does not decide what a revocation refuses.

mod follower;
mod pending;
mod record;
mod versions;
mod writer;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use self::pending::{Intent, Pending};
use self::record::{RevocationChange, RevocationRecord};
use self::versions::Versions;
use super::engine::{AuthKey, AuthKind, Engine, EngineError};
use super::keys::ClusterKeys;
use super::limited_log::LimitedLog;
use super::observer::{ClusterErrorKind, ClusterObserver};
use super::record::RecordError;
use crate::auth::{Reach, RestoreError, RevocationId, Revocations, SharedRevocations};

/// The revocations of all gateways, in the engine. They are carried while [`Self::run`] is polled.
#[derive(Debug)]
pub struct ClusterRevocations(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    keys: Arc<ClusterKeys>,
    observer: Arc<dyn ClusterObserver>,
    table: Revocations,
    /// Random for each start, so that this gateway knows its own records.
    writer: u64,
    /// Never held across an await.
    state: Mutex<State>,
    /// Notified when there is something to write.
    added: Notify,
    is_loaded: watch::Sender<bool>,
    foreign: LimitedLog,
    full: LimitedLog,
}

#[derive(Debug, Default)]
struct State {
    versions: Versions,
    pending: Pending,
}

impl ClusterRevocations {
    /// Shares the posted revocations of this table, a clone of the one that [`Revocations::with_shared`] is
    /// called on later.
    pub fn new(
        engine: Arc<dyn Engine>,
        keys: Arc<ClusterKeys>,
        observer: Arc<dyn ClusterObserver>,
        table: Revocations,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            keys,
            observer,
            table,
            writer: getrandom::u64().expect("the system provides random numbers"),
            state: Mutex::default(),
            added: Notify::new(),
            is_loaded: watch::Sender::new(false),
            foreign: LimitedLog::default(),
            full: LimitedLog::default(),
        }))
    }

    /// Reads the revocations of the others and writes own ones. Never returns. May be called again after a panic.
    pub fn run(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = self.0.clone();
        async move {
            tokio::join!(inner.follow(), inner.write());
        }
    }

    /// Returns whether all revocations have been read once. A gateway must not be ready before.
    pub fn loaded(&self) -> watch::Receiver<bool> {
        self.0.is_loaded.subscribe()
    }

    /// Returns the number of changes that other gateways do not know yet.
    pub fn pending(&self) -> usize {
        self.0.state.lock().pending.len()
    }
}

impl Clone for ClusterRevocations {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Inner {
    fn key(name: [u8; 32]) -> AuthKey {
        AuthKey { kind: AuthKind::Revocation, name }
    }

    /// The name to write a revocation under.
    fn name(&self, id: &RevocationId) -> [u8; 32] {
        self.keys.revocation_names(id.as_bytes()).next().expect("a cluster has a key")
    }

    /// Adds a change to write. Returns the receiver that is told when it is stored.
    fn add(&self, id: RevocationId, intent: Intent) -> oneshot::Receiver<()> {
        let mut state = self.state.lock();
        if state.pending.len() >= self.table.capacity() + MAX_PENDING_REMOVALS {
            // Revocations that have expired while they waited.
            let now = SystemTime::now();
            state.pending.retain_revoked(|id| self.table.posted(id, now).is_some());
        }
        let told = state.pending.add(id, intent);
        drop(state);
        self.added.notify_one();
        told
    }

    async fn reach(&self, stored: oneshot::Receiver<()>) -> Reach {
        if !self.engine.state().borrow().is_connected {
            return Reach::Here;
        }
        match timeout(ANSWER_WITHIN, stored).await {
            Ok(Ok(())) => Reach::All,
            Ok(Err(_)) | Err(_) => Reach::Here,
        }
    }

    fn decode(&self, name: &[u8; 32], bytes: &[u8]) -> Option<RevocationRecord> {
        let error = match RevocationRecord::decode(&self.keys, name, bytes) {
            Ok(record) => return Some(record),
            Err(error) => error,
        };
        self.observer.failed(match error {
            RecordError::Signature => ClusterErrorKind::Signature,
            RecordError::Format(_) | RecordError::Damaged => ClusterErrorKind::Format,
        });
        if let Some(suppressed) = self.foreign.acquire() {
            tracing::warn!(%error, suppressed, "a revocation in the cluster's engine was ignored");
        }
        None
    }

    /// Puts a change in force here. Does not tell open responses.
    fn apply(&self, change: RevocationChange) {
        match change {
            RevocationChange::Removed(id, _) => self.table.remove_posted(&id),
            RevocationChange::Revoked(revocation) => {
                if let Err(error) = self.table.replace_posted(revocation)
                    && let Some(suppressed) = self.full.acquire()
                {
                    tracing::error!(%error, suppressed, "a revocation of another gateway does not apply here");
                }
            }
        }
    }

    fn fail(&self, error: &EngineError) {
        self.observer.failed(ClusterErrorKind::Engine(error.kind));
    }

    /// Returns the newest change of a revocation in the engine, with its place, and the sequence under the first name.
    async fn current(&self, id: &RevocationId) -> Result<Current, EngineError> {
        let mut current = Current::default();
        for (at, name) in self.keys.revocation_names(id.as_bytes()).enumerate() {
            let Some(stored) = self.engine.get(&Self::key(name)).await? else { continue };
            if at == 0 {
                current.first_sequence = stored.sequence;
            }
            let Some(record) = self.decode(&name, &stored.payload) else { continue };
            let order = record.copied.unwrap_or(stored.sequence);
            if current.newest.as_ref().is_none_or(|newest| newest.order <= order) {
                current.newest = Some(Newest { order, name, sequence: stored.sequence, record });
            }
        }
        Ok(current)
    }
}

/// The engine's state of one revocation.
#[derive(Debug, Default)]
struct Current {
    /// The sequence of the message under the first name. 0: there is none.
    first_sequence: u64,
    newest: Option<Newest>,
}

#[derive(Debug)]
struct Newest {
    order: u64,
    name: [u8; 32],
    sequence: u64,
    record: RevocationRecord,
}

impl SharedRevocations for ClusterRevocations {
    fn revoked(&self, id: RevocationId) -> BoxFuture<'_, Reach> {
        let stored = self.0.add(id, Intent::Revoke);
        self.0.reach(stored).boxed()
    }

    fn restore(&self, id: RevocationId) -> BoxFuture<'_, Result<Reach, RestoreError>> {
        async move {
            let inner = &self.0;
            // Another gateway may have posted it just now.
            let is_connected = inner.engine.state().borrow().is_connected;
            let current = match is_connected {
                true => timeout(ANSWER_WITHIN, inner.current(&id)).await.ok().and_then(Result::ok).unwrap_or_default(),
                false => Current::default(),
            };
            let now = SystemTime::now();
            let found = current.newest.and_then(|newest| match newest.record.change {
                RevocationChange::Revoked(revocation) => Some((newest.order, revocation)),
                RevocationChange::Removed(..) => None,
            });
            let is_stored = found.as_ref().is_some_and(|(_, found)| found.until.is_none_or(|until| now < until));
            let (stored, outcome) = {
                let mut state = inner.state.lock();
                let seen = found.as_ref().map_or(0, |(order, _)| *order).max(state.versions.order(&id));
                if state.pending.removals() >= MAX_PENDING_REMOVALS {
                    return Err(RestoreError::Waiting);
                }
                let ends =
                    [found.map(|(_, found)| found), inner.table.posted(&id, now)].map(|one| one.map(|one| one.until));
                let outcome = inner.table.restore(&id, now);
                let outcome = match outcome {
                    Err(RestoreError::Unknown) if is_stored => Ok(()),
                    Err(RestoreError::Filed) if is_stored => Err(RestoreError::StillFiled),
                    outcome => outcome,
                };
                if !matches!(outcome, Ok(()) | Err(RestoreError::StillFiled)) {
                    return outcome.map(|()| Reach::All);
                }
                // No end is later than any.
                let is_endless = ends.iter().flatten().any(Option::is_none);
                let until = if is_endless { None } else { ends.into_iter().flatten().flatten().max() };
                (state.pending.add(id, Intent::Remove { seen, until }), outcome)
            };
            inner.added.notify_one();
            let reach = inner.reach(stored).await;
            outcome.map(|()| reach)
        }
        .boxed()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("table", &self.table).finish_non_exhaustive()
    }
}

/// The most time that an operator's request waits for the engine.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Removals that wait until they can be written. Revocations that wait are in the table, which has a bound of its own.
const MAX_PENDING_REMOVALS: usize = 10_000;

#[cfg(test)]
mod tests;
