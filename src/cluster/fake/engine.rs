//! The state that the gateways of a schedule share through a fake engine, and what the schedule does to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::auth_content::AuthContent;
use super::faults::Faults;
use super::links::{Cut, FakeLink};
use super::random::SeededRandom;
use crate::cluster::engine::{AppendError, AuthKind, AuthRecord, LiveRecord, LogId, Question, Stored};
use crate::runtime::tasks::Tasks;

/// A fake engine in memory, whose faults are drawn from one seed.
#[derive(Clone)]
pub(in crate::cluster) struct FakeCluster(pub(super) Arc<Shared>);

pub(super) struct Shared {
    /// Never held across an await.
    pub state: Mutex<State>,
    pub random: SeededRandom,
    /// Carries what is on its way, whatever becomes of the sender.
    pub carriers: Tasks,
}

pub(super) struct State {
    pub faults: Faults,
    pub has_fence: bool,
    sequence: u64,
    logs: HashMap<LogId, Vec<LogEntry>>,
    /// Everything that was ever stored, in order, whatever was forgotten later.
    history: Vec<(LogId, Stored)>,
    pub beats: BTreeMap<String, Bytes>,
    pub auth: AuthContent,
    pub links: Vec<FakeLink>,
    is_away: bool,
    pub subscribers: Vec<Subscriber>,
    /// The time until which the leader of the logs answers as it was when it was deposed.
    deposed: Option<(Instant, Instant)>,
    pub questions: u64,
}

struct LogEntry {
    stored: Stored,
    at: Instant,
    /// The number of the connection that it came by.
    writer: usize,
}

/// The subject of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FakeTopic {
    Log(LogId),
    Beats,
    Questions,
    Phases(LogId),
    Auth(AuthKind),
    Reply(String),
}

/// A message to subscribers.
#[derive(Clone, Debug)]
pub(super) enum FakeMessage {
    Record(LiveRecord),
    Beat(String, Bytes),
    Question { log: LogId, payload: Bytes, reply_to: String },
    Bytes(Bytes),
    Auth(AuthRecord),
}

/// A message on its way.
pub(super) struct FakeDelivery {
    pub at: Instant,
    /// The number of cuts when it was sent.
    pub cuts: u64,
    pub message: FakeMessage,
}

pub(super) struct Subscriber {
    pub topic: FakeTopic,
    pub node: usize,
    pub sender: mpsc::UnboundedSender<FakeDelivery>,
    /// The arrival of the last message. Later ones do not overtake it.
    pub last_at: Instant,
}

impl FakeCluster {
    /// Creates an engine without faults and delays.
    pub(in crate::cluster) fn prompt() -> Self {
        let cluster = Self::new(0);
        cluster.set_faults(Faults { is_prompt: true, ..Faults::default() });
        cluster
    }

    /// Creates an engine without faults that draws delays from this seed.
    pub(in crate::cluster) fn new(seed: u64) -> Self {
        let state = State {
            faults: Faults::default(),
            has_fence: true,
            sequence: 0,
            logs: HashMap::new(),
            history: Vec::new(),
            beats: BTreeMap::new(),
            auth: AuthContent::default(),
            links: Vec::new(),
            is_away: false,
            subscribers: Vec::new(),
            deposed: None,
            questions: 0,
        };
        let random = SeededRandom::new(seed);
        Self(Arc::new(Shared { state: Mutex::new(state), random, carriers: Tasks::default() }))
    }

    /// Sets the faults from now on.
    pub(in crate::cluster) fn set_faults(&self, faults: Faults) {
        self.0.state.lock().faults = faults;
    }

    /// Stores whatever comes from now on, after whatever record.
    pub(in crate::cluster) fn remove_fence(&self) {
        self.0.state.lock().has_fence = false;
    }

    /// Cuts the connection of a gateway, which notices after `noticed`.
    pub(in crate::cluster) fn cut(&self, node: usize, cut: Cut, noticed: Duration) {
        self.0.state.lock().links[node].cut(cut);
        let cluster = self.clone();
        self.0.carriers.spawn("notice", async move {
            sleep(noticed).await;
            cluster.0.state.lock().links[node].notice();
        });
    }

    /// Ends the connection of a gateway for good. What was sent before is still done.
    pub(in crate::cluster) fn kill(&self, node: usize) {
        let mut state = self.0.state.lock();
        state.links[node].cut(Cut::Inward);
        state.subscribers.retain(|subscriber| subscriber.node != node);
    }

    /// Mends the connection of a gateway, which is connected again after `pause` if it had noticed the cut.
    pub(in crate::cluster) fn mend(&self, node: usize, pause: Duration) {
        if self.0.state.lock().links[node].mend() {
            let cluster = self.clone();
            self.0.carriers.spawn("reconnect", async move {
                sleep(pause).await;
                cluster.0.state.lock().links[node].reconnect();
            });
        }
    }

    /// Has the leader of the logs answer as it is now, for so long.
    pub(in crate::cluster) fn depose_leader(&self, time: Duration) {
        let now = Instant::now();
        self.0.state.lock().deposed = Some((now, now + time));
    }

    /// Loses what was stored in all logs within the last `time`. Sequences are used again.
    pub(in crate::cluster) fn forget(&self, time: Duration) {
        let mut state = self.0.state.lock();
        for log in state.logs.values_mut() {
            log.retain(|entry| entry.at.elapsed() > time);
        }
        state.restart_sequences();
    }

    /// Loses all records but the first ones of each log, so many of them. Sequences are used again.
    pub(in crate::cluster) fn keep_first(&self, count: usize) {
        let mut state = self.0.state.lock();
        state.logs.values_mut().for_each(|log| log.truncate(count));
        state.restart_sequences();
    }

    /// Loses the last records of all logs, so many of each. Sequences are used again.
    pub(in crate::cluster) fn forget_last(&self, count: usize) {
        let mut state = self.0.state.lock();
        for log in state.logs.values_mut() {
            log.truncate(log.len().saturating_sub(count));
        }
        state.restart_sequences();
    }

    /// Loses all that the last writer of a log stored, if that are two records at least and `most` at most, and somebody wrote
    /// before. Returns true if something is lost. Sequences are used again.
    pub(in crate::cluster) fn forget_last_writer(&self, most: usize) -> bool {
        let mut state = self.0.state.lock();
        let mut is_lost = false;
        for log in state.logs.values_mut() {
            let Some(writer) = log.last().map(|entry| entry.writer) else { continue };
            let Some(before) = log.iter().rposition(|entry| entry.writer != writer) else { continue };
            if (2..=most).contains(&(log.len() - before - 1)) {
                log.truncate(before + 1);
                is_lost = true;
            }
        }
        state.restart_sequences();
        is_lost
    }

    /// Loses the connections of all gateways, and of those to come. They notice at once.
    pub(in crate::cluster) fn disconnect(&self) {
        self.0.state.lock().disconnect();
    }

    /// Connects all gateways again.
    pub(in crate::cluster) fn connect(&self) {
        let mut state = self.0.state.lock();
        state.is_away = false;
        for link in &mut state.links {
            link.mend();
            link.reconnect();
        }
    }

    /// Returns what was ever stored in logs, in order, without the first `known`.
    pub(in crate::cluster) fn history(&self, known: usize) -> Vec<(LogId, Stored)> {
        self.0.state.lock().history[known..].to_vec()
    }
}

impl Shared {
    /// Sends a message to the subscribers of a topic.
    pub(in crate::cluster) fn publish(&self, state: &mut State, topic: &FakeTopic, message: &FakeMessage) {
        let now = Instant::now();
        let State { faults, links, subscribers, .. } = state;
        subscribers.retain(|subscriber| !subscriber.sender.is_closed());
        for subscriber in subscribers.iter_mut().filter(|subscriber| subscriber.topic == *topic) {
            let link = &links[subscriber.node];
            if !link.carries_answers() || self.random.has(faults.lost_message) {
                continue;
            }
            let at = (now + faults.delay(&self.random)).max(subscriber.last_at);
            subscriber.last_at = at;
            let _ = subscriber.sender.send(FakeDelivery { at, cuts: link.cuts, message: message.clone() });
        }
    }
}

impl State {
    /// Loses the connections of all gateways, which notice at once.
    pub(in crate::cluster) fn disconnect(&mut self) {
        self.is_away = true;
        for link in &mut self.links {
            link.cut(Cut::Both);
            link.notice();
        }
    }

    /// Connects another gateway, unless the engine is away. Returns the number of its connection.
    pub(in crate::cluster) fn add_link(&mut self) -> usize {
        let mut link = FakeLink::new();
        if self.is_away {
            link.cut(Cut::Both);
            link.notice();
        }
        self.links.push(link);
        self.links.len() - 1
    }

    /// Begins with the first sequence again, unless a log has records.
    pub(in crate::cluster) fn restart_sequences(&mut self) {
        self.sequence = self.logs.values().flatten().map(|entry| entry.stored.sequence).max().unwrap_or_default();
    }

    /// Stores a record of the gateway with this connection. `is_refused`: says that another one is the last, whatever is.
    pub(in crate::cluster) fn append(
        &mut self,
        writer: usize,
        log: &LogId,
        after: u64,
        payload: Bytes,
        is_refused: bool,
    ) -> Result<LiveRecord, AppendError> {
        let previous = self.records(log).last().map_or(0, |entry| entry.stored.sequence);
        if self.has_fence && (is_refused || previous != after) {
            return Err(AppendError::Refused);
        }
        let record = self.next(payload);
        self.logs.entry(*log).or_default().push(LogEntry { stored: record.clone(), at: Instant::now(), writer });
        self.history.push((*log, record.clone()));
        Ok(LiveRecord { record, previous })
    }

    /// Returns the newest record of a log, as the leader has it.
    pub(in crate::cluster) fn newest(&self, log: &LogId) -> Option<Stored> {
        let now = Instant::now();
        let known = self.deposed.filter(|(_, until)| now < *until).map_or(now, |(since, _)| since);
        self.records(log).iter().rev().find(|entry| entry.at <= known).map(|entry| entry.stored.clone())
    }

    /// Returns the records of a log from a sequence on, without those of the last `behind`.
    pub(in crate::cluster) fn since(&self, log: &LogId, from: u64, behind: Duration) -> Vec<Stored> {
        let is_known = |entry: &&LogEntry| behind.is_zero() || entry.at.elapsed() >= behind;
        let records = self.records(log).iter().filter(is_known).map(|entry| entry.stored.clone());
        records.filter(|stored| stored.sequence >= from).collect()
    }

    fn records(&self, log: &LogId) -> &[LogEntry] {
        self.logs.get(log).map_or(&[], Vec::as_slice)
    }

    pub(in crate::cluster) fn next(&mut self, payload: Bytes) -> Stored {
        self.sequence += 1;
        Stored { sequence: self.sequence, payload }
    }
}

impl FakeMessage {
    /// Returns the question for the gateway that it is delivered to.
    pub(in crate::cluster) fn into_question(self) -> Option<Question> {
        match self {
            Self::Question { log, payload, reply_to } => Some(Question { log, payload, reply_to }),
            Self::Record(_) | Self::Beat(..) | Self::Bytes(_) | Self::Auth(_) => None,
        }
    }
}
