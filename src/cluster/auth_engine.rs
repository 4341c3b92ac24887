//! An engine in memory for tests of tickets and revocations. It has no logs and no beats.
//!
//! It can be away, lose its answers after it did what was asked, and refuse what it should store, as real ones do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineErrorKind, EngineState, LiveRecord, LogId,
    Question, Stored,
};

/// An engine for tickets and revocations.
#[derive(Debug)]
pub(super) struct AuthEngine {
    content: Mutex<Content>,
    state: watch::Sender<EngineState>,
}

/// The fate of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is stored, and its answer is lost.
    LostAnswer,
    /// It is stored, and the engine goes away before it answers.
    LostAnswerAndAway,
    /// It is lost.
    LostRequest,
    /// It is refused though it is correct.
    FalseRefusal,
}

#[derive(Debug, Default)]
struct Content {
    sequence: u64,
    records: HashMap<AuthKey, (Stored, Duration)>,
    live: Vec<(AuthKind, mpsc::UnboundedSender<AuthRecord>)>,
    /// The fates of the next writes, the last one first.
    faults: Vec<Option<Fault>>,
}

impl AuthEngine {
    /// Makes an engine that is connected.
    pub(super) fn new() -> Arc<Self> {
        let state = EngineState { is_connected: true, connections: 1, error: None };
        Arc::new(Self { content: Mutex::default(), state: watch::Sender::new(state) })
    }

    /// Is away from now on, and live messages are lost.
    pub(super) fn disconnect(&self) {
        self.state.send_modify(|state| state.is_connected = false);
    }

    /// Is back.
    pub(super) fn connect(&self) {
        self.state.send_modify(|state| {
            state.is_connected = true;
            state.connections += 1;
        });
    }

    /// Does this to the next writes, in order.
    pub(super) fn fault(&self, faults: &[Option<Fault>]) {
        self.content.lock().faults = faults.iter().rev().copied().collect();
    }

    /// Stores without any fault, and without telling anybody.
    pub(super) fn set(&self, key: AuthKey, value: Bytes) -> u64 {
        self.content.lock().store(key, value, Duration::ZERO, false)
    }

    /// Forgets a record, as after its time.
    pub(super) fn forget(&self, key: &AuthKey) {
        self.content.lock().records.remove(key);
    }

    /// Forgets everything. Sequences begin anew.
    pub(super) fn wipe(&self) {
        let mut content = self.content.lock();
        content.records.clear();
        content.sequence = 0;
    }

    /// Returns every record with the time for which it is kept.
    pub(super) fn records(&self) -> Vec<(AuthKey, Stored, Duration)> {
        let content = self.content.lock();
        content.records.iter().map(|(key, (stored, keep))| (*key, stored.clone(), *keep)).collect()
    }

    fn check(&self) -> Result<(), EngineError> {
        if self.state.borrow().is_connected { Ok(()) } else { Err(away()) }
    }
}

impl Content {
    fn store(&mut self, key: AuthKey, payload: Bytes, keep: Duration, is_told: bool) -> u64 {
        self.sequence += 1;
        let stored = Stored { sequence: self.sequence, payload };
        self.records.insert(key, (stored.clone(), keep));
        if is_told {
            let told = self.live.iter().filter(|(kind, _)| *kind == key.kind);
            told.for_each(|(_, live)| drop(live.send(AuthRecord { key, record: stored.clone() })));
        }
        self.sequence
    }
}

fn away() -> EngineError {
    EngineError { kind: EngineErrorKind::Disconnected, message: "away".to_owned() }
}

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, EngineError>> {
    async { Err(away()) }.boxed()
}

impl Engine for AuthEngine {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    fn max_record(&self) -> usize {
        512 << 10
    }

    fn put(
        &self,
        key: &AuthKey,
        after: Option<u64>,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'_, Result<u64, AppendError>> {
        let key = *key;
        async move {
            tokio::task::yield_now().await;
            self.check()?;
            let mut content = self.content.lock();
            let fault = content.faults.pop().flatten();
            let last = content.records.get(&key).map_or(0, |(stored, _)| stored.sequence);
            if fault == Some(Fault::LostRequest) {
                return Err(AppendError::Unknown(away()));
            }
            if fault == Some(Fault::FalseRefusal) || after.is_some_and(|after| after != last) {
                return Err(AppendError::Refused);
            }
            let is_told = fault.is_none();
            let sequence = content.store(key, value, keep, is_told);
            drop(content);
            if fault == Some(Fault::LostAnswerAndAway) {
                self.disconnect();
            }
            if is_told { Ok(sequence) } else { Err(AppendError::Unknown(away())) }
        }
        .boxed()
    }

    fn get(&self, key: &AuthKey) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        let key = *key;
        async move {
            tokio::task::yield_now().await;
            self.check()?;
            Ok(self.content.lock().records.get(&key).map(|(stored, _)| stored.clone()))
        }
        .boxed()
    }

    fn all(&self, kind: AuthKind) -> BoxFuture<'_, Result<Vec<AuthRecord>, EngineError>> {
        async move {
            self.check()?;
            let records = self.records().into_iter().filter(|(key, ..)| key.kind == kind);
            let mut records: Vec<_> = records.map(|(key, record, _)| AuthRecord { key, record }).collect();
            records.sort_by_key(|record| record.record.sequence);
            Ok(records)
        }
        .boxed()
    }

    fn live_auth(&self, kind: AuthKind) -> BoxFuture<'_, Result<BoxStream<'static, AuthRecord>, EngineError>> {
        async move {
            self.check()?;
            let (sender, receiver) = mpsc::unbounded_channel();
            self.content.lock().live.push((kind, sender));
            Ok(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed())
        }
        .boxed()
    }

    fn append(&self, _: &LogId, _: u64, _: Bytes) -> BoxFuture<'_, Result<u64, AppendError>> {
        async { Err(AppendError::Unknown(away())) }.boxed()
    }

    fn newest(&self, _: &LogId) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        none()
    }

    fn since(&self, _: &LogId, _: u64) -> BoxFuture<'_, Result<Vec<Stored>, EngineError>> {
        none()
    }

    fn newest_of(&self, _: &[LogId]) -> BoxFuture<'_, Result<Vec<(LogId, Stored)>, EngineError>> {
        none()
    }

    fn live(&self, _: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, LiveRecord>, EngineError>> {
        none()
    }

    fn beat(&self, _: &str, _: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        none()
    }

    fn beats(&self) -> BoxFuture<'_, Result<Vec<(String, Bytes)>, EngineError>> {
        none()
    }

    fn live_beats(&self) -> BoxFuture<'_, Result<BoxStream<'static, (String, Bytes)>, EngineError>> {
        none()
    }

    fn ask(&self, _: &LogId, _: Bytes, _: Duration) -> BoxFuture<'_, Result<Option<Bytes>, EngineError>> {
        none()
    }

    fn questions(&self) -> BoxFuture<'_, Result<BoxStream<'static, Question>, EngineError>> {
        none()
    }

    fn answer(&self, _: &Question, _: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        none()
    }

    fn tell_phase(&self, _: &LogId, _: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        none()
    }

    fn live_phases(&self, _: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, EngineError>> {
        none()
    }
}
