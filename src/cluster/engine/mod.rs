//! The interface between the protocol and an engine.
//!
//! An engine stores three kinds of things: logs of records with an append that is conditional on the last sequence,
//! tickets and revocations with the same condition, and the beats of the gateways. It also carries messages that are
//! not stored. Implementations are `nats`, and `fake` in tests.

mod error;
mod ids;
mod state;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

pub use error::{AppendError, EngineError, EngineErrorKind};
pub use ids::{AuthKey, AuthKind, LogId};
pub use state::EngineState;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The position in the engine, from 1. It grows with each message, also across logs.
    pub sequence: u64,
    /// The content as it was written.
    pub payload: Bytes,
}

/// A record that was just stored, as followers get it. At most once: records may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRecord {
    /// The record.
    pub record: Stored,
    /// The sequence of the record before it in the same log. 0: it is the first.
    pub previous: u64,
}

/// A ticket or a revocation that was just stored or removed, as the gateways get it. At most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRecord {
    /// The key it is stored under.
    pub key: AuthKey,
    /// The record.
    pub record: Stored,
}

/// A question of another gateway about a stream.
#[derive(Debug)]
pub struct Question {
    /// The stream that it is about.
    pub log: LogId,
    /// The content.
    pub payload: Bytes,
    /// The address for the answer. Opaque.
    pub reply_to: String,
}

/// Stores records for all gateways and carries messages between them.
///
/// Every call ends within a few seconds, with [`EngineErrorKind::TimedOut`] if the engine does not answer. The
/// subscriptions survive a lost connection; what was sent meanwhile is missing. [`EngineState::connections`] then grows.
pub trait Engine: Send + Sync + 'static {
    /// Returns the state of the connection to the engine.
    fn state(&self) -> watch::Receiver<EngineState>;

    /// Returns the most bytes that one record may have.
    fn max_record(&self) -> usize;

    /// Stores a record if the last one of the log has the sequence `after`. 0: if the log has none. Returns its sequence.
    ///
    /// # Errors
    /// [`AppendError::Refused`] if the engine says that another record is the last. It may be wrong for a moment, so
    /// callers look at the log before they believe it. After any other error the record may or may not be stored.
    fn append(&self, log: &LogId, after: u64, record: Bytes) -> BoxFuture<'_, Result<u64, AppendError>>;

    /// Returns the newest record of the log, as the engine's leader has it. `None`: the log is empty.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn newest(&self, log: &LogId) -> BoxFuture<'_, Result<Option<Stored>, EngineError>>;

    /// Returns the records of the log from sequence `from` on, oldest first. Any replica may answer, so the newest may be
    /// missing, and a long answer may end early: callers ask again from the last sequence + 1.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn since(&self, log: &LogId, from: u64) -> BoxFuture<'_, Result<Vec<Stored>, EngineError>>;

    /// Returns the newest record of each log that has one, in any order. Any replica may answer. Logs without a record
    /// are missing. One call for many logs is much cheaper than a call for each.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn newest_of(&self, logs: &[LogId]) -> BoxFuture<'_, Result<Vec<(LogId, Stored)>, EngineError>>;

    /// Subscribes to the records that are stored in the log from now on. The subscription is in force when this returns.
    ///
    /// # Errors
    /// The engine is away.
    fn live(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, LiveRecord>, EngineError>>;

    /// Stores the beat of a gateway in place of its last one.
    ///
    /// # Errors
    /// The engine did not acknowledge it.
    fn beat(&self, node: &str, beat: Bytes) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Returns the last beat of each gateway.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn beats(&self) -> BoxFuture<'_, Result<Vec<(String, Bytes)>, EngineError>>;

    /// Subscribes to the beats of all gateways, own ones included.
    ///
    /// # Errors
    /// The engine is away.
    fn live_beats(&self) -> BoxFuture<'_, Result<BoxStream<'static, (String, Bytes)>, EngineError>>;

    /// Asks all gateways about a stream. Returns the first answer, or `None` if nobody answered within `wait`.
    ///
    /// # Errors
    /// The engine is away.
    fn ask(&self, log: &LogId, question: Bytes, wait: Duration) -> BoxFuture<'_, Result<Option<Bytes>, EngineError>>;

    /// Subscribes to the questions of all gateways about all streams, own ones included.
    ///
    /// # Errors
    /// The engine is away.
    fn questions(&self) -> BoxFuture<'_, Result<BoxStream<'static, Question>, EngineError>>;

    /// Answers a question. Not acknowledged.
    ///
    /// # Errors
    /// The engine is away.
    fn answer(&self, question: &Question, answer: Bytes) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Tells all gateways a change of a stream's phase. Not stored and not acknowledged.
    ///
    /// # Errors
    /// The engine is away.
    fn tell_phase(&self, log: &LogId, phase: Bytes) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Subscribes to the changes of phase of one stream.
    ///
    /// # Errors
    /// The engine is away.
    fn live_phases(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, EngineError>>;

    /// Stores a ticket or a revocation in place of the one with the sequence `after`; 0: if there is none; `None`:
    /// whatever is there. The engine removes it after `keep` (whole seconds, at least 1). Returns its sequence.
    ///
    /// # Errors
    /// As for [`Self::append`].
    fn put(
        &self,
        key: &AuthKey,
        after: Option<u64>,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'_, Result<u64, AppendError>>;

    /// Returns the ticket or revocation under a key, as the engine's leader has it.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn get(&self, key: &AuthKey) -> BoxFuture<'_, Result<Option<Stored>, EngineError>>;

    /// Returns everything of one kind, in the order of its sequences.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    fn all(&self, kind: AuthKind) -> BoxFuture<'_, Result<Vec<AuthRecord>, EngineError>>;

    /// Subscribes to what is stored of one kind from now on.
    ///
    /// # Errors
    /// The engine is away.
    fn live_auth(&self, kind: AuthKind) -> BoxFuture<'_, Result<BoxStream<'static, AuthRecord>, EngineError>>;
}
