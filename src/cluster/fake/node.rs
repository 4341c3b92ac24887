//! One gateway's connection to a fake engine, as an [`Engine`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::auth_content::Fate;
use super::engine::{FakeCluster, FakeMessage, FakeTopic, Shared, State, Subscriber};
use super::links::{disconnected, timed_out};
use crate::cluster::engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineState, LiveRecord, LogId, Question, Stored,
};

/// One gateway's connection to a fake engine.
#[derive(Clone)]
pub(in crate::cluster) struct FakeEngine {
    cluster: FakeCluster,
    node: usize,
}

impl FakeCluster {
    /// Connects another gateway.
    pub(in crate::cluster) fn node(&self) -> FakeEngine {
        let node = self.0.state.lock().add_link();
        FakeEngine::new(self.clone(), node)
    }
}

impl FakeEngine {
    pub(super) fn new(cluster: FakeCluster, node: usize) -> Self {
        Self { cluster, node }
    }

    /// Returns the number of the connection.
    pub(in crate::cluster) fn number(&self) -> usize {
        self.node
    }

    fn shared(&self) -> &Shared {
        &self.cluster.0
    }

    /// Has the engine do something. What was sent is done even if the caller does not wait for the answer.
    async fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &mut State) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.request_answered_after(Duration::ZERO, work).await
    }

    /// As [`Self::request`], with an answer that takes so much longer.
    async fn request_answered_after<T: Send + 'static>(
        &self,
        late: Duration,
        work: impl FnOnce(&Shared, &mut State) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        if !self.shared().state.lock().links[self.node].state.borrow().is_connected {
            // As a client that fails at once, but without letting its caller spin.
            sleep(Duration::from_millis(1)).await;
            return Err(disconnected());
        }
        let (answer, answered) = oneshot::channel();
        let (cluster, node) = (self.cluster.clone(), self.node);
        let (there, back, has_lost_request, has_lost_answer) = {
            let (random, faults) = (&self.shared().random, self.shared().state.lock().faults);
            let (there, back) = (faults.delay(random), faults.delay(random));
            (there, back, random.has(faults.lost_request), random.has(faults.lost_answer))
        };
        self.shared().carriers.spawn("request", async move {
            let shared = &*cluster.0;
            let carries_requests = || shared.state.lock().links[node].carries_requests();
            if has_lost_request || !carries_requests() {
                return;
            }
            sleep(there).await;
            if !carries_requests() {
                return;
            }
            let done = work(shared, &mut shared.state.lock());
            sleep(back + late).await;
            if !has_lost_answer && shared.state.lock().links[node].carries_answers() {
                let _ = answer.send(done);
            }
        });
        let sent = Instant::now();
        match timeout(REQUEST_TIMEOUT, answered).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) | Err(_) => {
                sleep_until(sent + REQUEST_TIMEOUT).await;
                Err(timed_out())
            }
        }
    }

    /// Sends a message that nobody acknowledges.
    async fn send(&self, topic: FakeTopic, message: FakeMessage) -> Result<(), EngineError> {
        let shared = self.shared();
        let mut state = shared.state.lock();
        let link = &state.links[self.node];
        if !link.state.borrow().is_connected {
            return Err(disconnected());
        }
        if link.carries_requests() {
            shared.publish(&mut state, &topic, &message);
        }
        Ok(())
    }

    fn receiver(&self, topic: FakeTopic) -> BoxStream<'static, FakeMessage> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let subscriber = Subscriber { topic, node: self.node, sender, last_at: Instant::now() };
        self.shared().state.lock().subscribers.push(subscriber);
        let node = self.clone();
        unfold((receiver, node), |(mut receiver, node)| async move {
            loop {
                let delivery: super::engine::FakeDelivery = receiver.recv().await?;
                sleep_until(delivery.at).await;
                let is_lost = {
                    let state = node.shared().state.lock();
                    let link = &state.links[node.node];
                    link.cuts != delivery.cuts || !link.carries_answers()
                };
                if !is_lost {
                    return Some((delivery.message, (receiver, node)));
                }
            }
        })
        .boxed()
    }

    async fn subscribe<T: Send + 'static>(
        &self,
        topic: FakeTopic,
        read: impl Fn(FakeMessage) -> Option<T> + Send + 'static,
    ) -> Result<BoxStream<'static, T>, EngineError> {
        // Made when the engine gets the request, and used if it answers.
        let node = self.clone();
        let messages = self.request(move |_, _| ()).await.map(|()| node.receiver(topic))?;
        Ok(messages.filter_map(move |message| std::future::ready(read(message))).boxed())
    }

    /// Draws how much of the last records a replica lacks.
    fn staleness(shared: &Shared, state: &State) -> Duration {
        match shared.random.has(state.faults.stale) {
            true => shared.random.pause(1, 2000),
            false => Duration::ZERO,
        }
    }
}

impl Engine for FakeEngine {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.shared().state.lock().links[self.node].state.subscribe()
    }

    fn max_record(&self) -> usize {
        1 << 20
    }

    fn append(&self, log: &LogId, after: u64, record: Bytes) -> BoxFuture<'_, Result<u64, AppendError>> {
        let (log, writer) = (*log, self.node);
        async move {
            self.request(move |shared, state| {
                let is_refused = shared.random.has(state.faults.wrong_refusal);
                let live = state.append(writer, &log, after, record, is_refused)?;
                let sequence = live.record.sequence;
                shared.publish(state, &FakeTopic::Log(log), &FakeMessage::Record(live));
                Ok(sequence)
            })
            .await?
        }
        .boxed()
    }

    fn newest(&self, log: &LogId) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        let log = *log;
        async move {
            let random = &self.shared().random;
            let rate = self.shared().state.lock().faults.late_newest;
            // Nothing is drawn without the fault.
            let late = if rate > 0.0 && random.has(rate) { random.pause(500, 3000) } else { Duration::ZERO };
            self.request_answered_after(late, move |_, state| state.newest(&log)).await
        }
        .boxed()
    }

    fn since(&self, log: &LogId, from: u64) -> BoxFuture<'_, Result<Vec<Stored>, EngineError>> {
        let log = *log;
        self.request(move |shared, state| {
            let mut records = state.since(&log, from, Self::staleness(shared, state));
            records.truncate(1 + usize::try_from(shared.random.below(100)).unwrap_or_default());
            records
        })
        .boxed()
    }

    fn newest_of(&self, logs: &[LogId]) -> BoxFuture<'_, Result<Vec<(LogId, Stored)>, EngineError>> {
        let logs = logs.to_vec();
        self.request(move |shared, state| {
            let behind = Self::staleness(shared, state);
            let newest = |log: &LogId| state.since(log, 0, behind).pop().map(|newest| (*log, newest));
            logs.iter().filter_map(newest).collect()
        })
        .boxed()
    }

    fn live(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, LiveRecord>, EngineError>> {
        self.subscribe(FakeTopic::Log(*log), |message| match message {
            FakeMessage::Record(record) => Some(record),
            FakeMessage::Beat(..) | FakeMessage::Question { .. } | FakeMessage::Bytes(_) | FakeMessage::Auth(_) => None,
        })
        .boxed()
    }

    fn beat(&self, node: &str, beat: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        let node = node.to_owned();
        self.request(move |shared, state| {
            state.beats.insert(node.clone(), beat.clone());
            shared.publish(state, &FakeTopic::Beats, &FakeMessage::Beat(node, beat));
        })
        .boxed()
    }

    fn beats(&self) -> BoxFuture<'_, Result<Vec<(String, Bytes)>, EngineError>> {
        self.request(|_, state| state.beats.iter().map(|(node, beat)| (node.clone(), beat.clone())).collect()).boxed()
    }

    fn live_beats(&self) -> BoxFuture<'_, Result<BoxStream<'static, (String, Bytes)>, EngineError>> {
        self.subscribe(FakeTopic::Beats, |message| match message {
            FakeMessage::Beat(node, beat) => Some((node, beat)),
            FakeMessage::Record(_) | FakeMessage::Question { .. } | FakeMessage::Bytes(_) | FakeMessage::Auth(_) => {
                None
            }
        })
        .boxed()
    }

    fn ask(&self, log: &LogId, question: Bytes, wait: Duration) -> BoxFuture<'_, Result<Option<Bytes>, EngineError>> {
        let log = *log;
        async move {
            let reply_to = {
                let mut state = self.shared().state.lock();
                state.questions += 1;
                format!("reply-{}", state.questions)
            };
            let mut replies = self.receiver(FakeTopic::Reply(reply_to.clone()));
            self.send(FakeTopic::Questions, FakeMessage::Question { log, payload: question, reply_to }).await?;
            Ok(match timeout(wait, replies.next()).await {
                Ok(Some(FakeMessage::Bytes(answer))) => Some(answer),
                Ok(_) | Err(_) => None,
            })
        }
        .boxed()
    }

    fn questions(&self) -> BoxFuture<'_, Result<BoxStream<'static, Question>, EngineError>> {
        self.subscribe(FakeTopic::Questions, FakeMessage::into_question).boxed()
    }

    fn answer(&self, question: &Question, answer: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        let topic = FakeTopic::Reply(question.reply_to.clone());
        async move { self.send(topic, FakeMessage::Bytes(answer)).await }.boxed()
    }

    fn tell_phase(&self, log: &LogId, phase: Bytes) -> BoxFuture<'_, Result<(), EngineError>> {
        let topic = FakeTopic::Phases(*log);
        async move { self.send(topic, FakeMessage::Bytes(phase)).await }.boxed()
    }

    fn live_phases(&self, log: &LogId) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, EngineError>> {
        self.subscribe(FakeTopic::Phases(*log), |message| match message {
            FakeMessage::Bytes(phase) => Some(phase),
            FakeMessage::Record(_) | FakeMessage::Beat(..) | FakeMessage::Question { .. } | FakeMessage::Auth(_) => {
                None
            }
        })
        .boxed()
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
            self.request(move |shared, state| {
                let fate = state.auth.next_fate();
                match fate {
                    Some(Fate::LostRequest) => return Err(timed_out().into()),
                    Some(Fate::FalseRefusal) => return Err(AppendError::Refused),
                    Some(Fate::LostAnswer | Fate::LostAnswerAndAway) | None => {}
                }
                let stored = state.put(&key, after, value, keep)?;
                if fate == Some(Fate::LostAnswerAndAway) {
                    state.disconnect();
                }
                if fate.is_some() {
                    return Err(timed_out().into());
                }
                let sequence = stored.record.sequence;
                shared.publish(state, &FakeTopic::Auth(key.kind), &FakeMessage::Auth(stored));
                Ok(sequence)
            })
            .await?
        }
        .boxed()
    }

    fn get(&self, key: &AuthKey) -> BoxFuture<'_, Result<Option<Stored>, EngineError>> {
        let key = *key;
        self.request(move |_, state| state.get(&key)).boxed()
    }

    fn all(&self, kind: AuthKind) -> BoxFuture<'_, Result<Vec<AuthRecord>, EngineError>> {
        self.request(move |_, state| state.all(kind)).boxed()
    }

    fn live_auth(&self, kind: AuthKind) -> BoxFuture<'_, Result<BoxStream<'static, AuthRecord>, EngineError>> {
        self.subscribe(FakeTopic::Auth(kind), |message| match message {
            FakeMessage::Auth(record) => Some(record),
            FakeMessage::Record(_) | FakeMessage::Beat(..) | FakeMessage::Question { .. } | FakeMessage::Bytes(_) => {
                None
            }
        })
        .boxed()
    }
}

/// The time for which an answer is awaited.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
