//! The engine's calls in terms of NATS.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::direct::{self, number};
use super::errors::error;
use super::requests::{REQUEST_TIMEOUT, publish};
use super::subjects::last_part;
use super::{EXPECTED_SEQUENCE, MIN_PAYLOAD, NatsEngine};
use crate::cluster::engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineErrorKind, EngineState, LiveRecord, LogId,
    Question, Stored,
};
use crate::runtime::arithmetic;

impl Engine for NatsEngine {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.requests.state.subscribe()
    }

    fn max_record(&self) -> usize {
        let max_payload = self.requests.client.get().map_or(DEFAULT_PAYLOAD, |client| client.server_info().max_payload);
        max_payload.min(self.largest.load(Ordering::Relaxed)).saturating_sub(HEADERS_ALLOWANCE)
    }

    fn append(&self, log: &LogId, after: u64, record: Bytes) -> BoxFuture<'_, Result<u64, AppendError>> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_SEQUENCE, after.to_string());
        let (subject, bytes) = (self.subjects.log(log), record.len());
        async move {
            let stored = self.store(subject, headers, record).await;
            if matches!(&stored, Err(AppendError::Unknown(failed)) if failed.kind == EngineErrorKind::TooLarge) {
                // A limit that was not known, or was lowered. What comes again is split, or left out.
                let largest = (bytes + HEADERS_ALLOWANCE).saturating_sub(1).max(MIN_PAYLOAD);
                self.largest.fetch_min(largest, Ordering::Relaxed);
            }
            stored
        }
        .boxed()
    }

    fn newest(&self, log: &LogId) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        self.newest_with("log", self.subjects.log(log)).boxed()
    }

    fn since(&self, log: &LogId, from: u64) -> BoxFuture<'_, Result<Vec<Stored>, EngineError>> {
        let subject = self.subjects.log(log);
        async move {
            let found = self.following("log", &subject, from, false).await?;
            Ok(found.into_iter().map(|(_, stored)| stored).collect())
        }
        .boxed()
    }

    fn newest_of(&self, logs: &[LogId]) -> BoxFuture<'_, Result<Vec<(LogId, Stored)>, EngineError>> {
        let subjects = logs.iter().map(|log| self.subjects.log(log)).collect();
        async move {
            let client = self.requests.connected()?;
            let found = direct::newest_of(&self.requests, client, &self.subjects.stream("log"), subjects).await;
            let named = |(subject, stored): direct::Found| Some((LogId::parse(last_part(&subject))?, stored));
            self.seen(found).map(|found| found.into_iter().filter_map(named).collect())
        }
        .boxed()
    }

    fn live(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, LiveRecord>, EngineError>> {
        let read = |message: Message| {
            let previous = number(&message, "Nats-Last-Sequence")?;
            Some(LiveRecord { record: stored(message)?, previous })
        };
        self.subscribed(self.subjects.live(log), read).boxed()
    }

    fn beat(&self, node: &str, beat: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        let subject = self.subjects.node(node);
        async move {
            match self.store(subject, HeaderMap::new(), beat).await {
                Ok(_) => Ok(()),
                Err(AppendError::Unknown(failed)) => Err(failed),
                Err(AppendError::Refused) => Err(error(EngineErrorKind::Unexpected, "a beat was refused")),
            }
        }
        .boxed()
    }

    fn beats(&self) -> BoxFuture<'_, Result<Vec<(String, Bytes)>, EngineError>> {
        async move {
            let found = self.following("nodes", &self.subjects.of("node.*"), 1, true).await?;
            Ok(found.into_iter().map(|(subject, stored)| (last_part(&subject).to_owned(), stored.payload)).collect())
        }
        .boxed()
    }

    fn live_beats(&self) -> BoxFuture<'_, Result<BoxStream<'static, (String, Bytes)>, EngineError>> {
        let read = |message: Message| Some((last_part(&message.subject).to_owned(), message.payload));
        self.subscribed(self.subjects.of("seen.*"), read).boxed()
    }

    fn ask(&self, log: &LogId, question: Bytes, wait: Duration) -> BoxFuture<'_, Result<Option<Bytes>, EngineError>> {
        let subject = self.subjects.ask(log);
        async move {
            let client = self.requests.connected()?;
            match self.requests.request(client, &subject, None, question, wait).await {
                // Nobody has subscribed to questions.
                Ok(reply) if reply.status.is_some() => Ok(None),
                Ok(reply) => Ok(Some(reply.payload)),
                Err(failed) if failed.kind == EngineErrorKind::TimedOut => Ok(None),
                Err(failed) => Err(failed),
            }
        }
        .boxed()
    }

    fn questions(&self) -> BoxFuture<'_, Result<BoxStream<'static, Question>, EngineError>> {
        let read = |message: Message| {
            let log = LogId::parse(last_part(&message.subject))?;
            Some(Question { log, payload: message.payload, reply_to: message.reply?.to_string() })
        };
        self.subscribed(self.subjects.of("ask.*"), read).boxed()
    }

    fn answer(&self, question: &Question, answer: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        self.tell(question.reply_to.clone(), answer).boxed()
    }

    fn tell_phase(&self, log: &LogId, phase: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        self.tell(self.subjects.phase(log), phase).boxed()
    }

    fn live_phases(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, EngineError>> {
        self.subscribed(self.subjects.phase(log), |message| Some(message.payload)).boxed()
    }

    fn put(
        &self,
        key: &AuthKey,
        after: Option<u64>,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'_, Result<u64, AppendError>> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", format!("{}s", arithmetic::clamp(keep.as_secs(), 1, A_CENTURY_IN_SECONDS)));
        if let Some(after) = after {
            headers.insert(EXPECTED_SEQUENCE, after.to_string());
        }
        self.store(self.subjects.auth(key), headers, value).boxed()
    }

    fn get(&self, key: &AuthKey) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        self.newest_with("auth", self.subjects.auth(key)).boxed()
    }

    fn all(&self, kind: AuthKind) -> BoxFuture<'_, Result<Vec<AuthRecord>, EngineError>> {
        async move {
            let subject = self.subjects.of(&format!("{}.*", kind.label()));
            let found = self.following("auth", &subject, 1, true).await?;
            let named = |(subject, record): direct::Found| {
                Some(AuthRecord { key: AuthKey::parse(kind, last_part(&subject))?, record })
            };
            Ok(found.into_iter().filter_map(named).collect())
        }
        .boxed()
    }

    fn live_auth(&self, kind: AuthKind) -> BoxFuture<'_, Result<BoxStream<'static, AuthRecord>, EngineError>> {
        let read = move |message: Message| {
            let key = AuthKey::parse(kind, last_part(&message.subject))?;
            Some(AuthRecord { key, record: stored(message)? })
        };
        self.subscribed(self.subjects.heard(kind), read).boxed()
    }
}

impl NatsEngine {
    async fn store(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<u64, AppendError> {
        let client = self.requests.connected()?;
        let outcome = self.requests.store(client, &subject, headers, payload).await;
        if let Err(AppendError::Unknown(failed)) = &outcome {
            self.note(failed);
        }
        outcome
    }

    /// Notes what an outcome tells of the streams.
    fn seen<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        outcome.inspect_err(|failed| self.note(failed))
    }

    fn note(&self, failed: &EngineError) {
        if failed.kind == EngineErrorKind::Unavailable {
            self.missing.notify_one();
        }
    }

    async fn newest_with(&self, stream: &str, subject: String) -> Result<Option<Stored>, EngineError> {
        let client = self.requests.connected()?;
        self.seen(self.requests.newest(client, &self.subjects.stream(stream), &subject).await)
    }

    async fn following(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
        is_whole: bool,
    ) -> Result<Vec<direct::Found>, EngineError> {
        let client = self.requests.connected()?;
        let stream = self.subjects.stream(stream);
        self.seen(direct::following(&self.requests, client, &stream, subject, from, is_whole).await)
    }

    /// Subscribes, and makes a value of each message that has all it needs.
    async fn subscribed<T: Send + 'static>(
        &self,
        subject: String,
        read: impl Fn(Message) -> Option<T> + Send + 'static,
    ) -> Result<BoxStream<'static, T>, EngineError> {
        let client = self.requests.connected()?;
        let subscriber = self.requests.subscribe(client, subject).await?;
        Ok(subscriber.filter_map(move |message| std::future::ready(read(message))).boxed())
    }

    /// Publishes what nobody acknowledges.
    async fn tell(&self, subject: String, payload: Bytes) -> Result<(), EngineError> {
        let client = self.requests.connected()?;
        let begun = Instant::now();
        let published = publish(client, &subject, None, None, payload);
        self.requests.bounded(&subject, begun, begun + REQUEST_TIMEOUT, published).await
    }
}

/// Returns the message that was republished when it was stored.
fn stored(message: Message) -> Option<Stored> {
    Some(Stored { sequence: number(&message, "Nats-Sequence")?, payload: message.payload })
}

/// The engine's own `max_payload`, before it has said another.
const DEFAULT_PAYLOAD: usize = 1 << 20;

/// Room for the headers of a record.
const HEADERS_ALLOWANCE: usize = 1 << 10;

/// 100 years.
const A_CENTURY_IN_SECONDS: u64 = 100 * 365 * 24 * 3600;
