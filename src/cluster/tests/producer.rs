//! A producer of numbered events, and the connections of gateways to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::unfold;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::cluster::fake::SeededRandom;
use crate::sse::{Event, EventId, Item};
use crate::stream::{Batch, Continuity, EventSource, Ids, Interrupted, OpenError, OpenOutcome, Opened};

/// The way in which a producer proves that nothing was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It continues after the id, and says so.
    Statement,
    /// It sends the event with the id again.
    Repetition,
    /// None: its events have no ids.
    Nothing,
}

/// A producer of one stream's events: 1, 2, 3 and so on.
#[derive(Debug)]
pub(super) struct Producer {
    pub proof: Proof,
    pub ids: Ids,
    /// True if its stream is open without readers too.
    pub is_always_open: bool,
    newest: watch::Sender<u64>,
    /// True once it ends its connections after the newest event.
    is_over: AtomicBool,
    random: SeededRandom,
    is_faultless: Mutex<bool>,
    connections: Mutex<Vec<Connection>>,
}

/// A connection of a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The number of the gateway's run.
    pub run: u64,
    /// The number of the key that names the gateway's logs. Those of another key share nothing with it.
    pub key: usize,
    pub opened: Instant,
    pub closed: Option<Instant>,
    /// The time at which the gateway last took something from it.
    pub read: Instant,
}

/// The producer as one run of a gateway reaches it.
pub(super) struct ProducerSource {
    pub producer: Arc<Producer>,
    /// The number of the run and of its key. `None`: it asks for history, which is no connection of a stream.
    pub reader: Option<(u64, usize)>,
}

/// Ends a connection, if it is a stream's, when it is dropped.
struct OpenConnection(Arc<Producer>, Option<usize>);

impl Producer {
    pub(super) fn new(random: SeededRandom) -> Arc<Self> {
        let proof = [Proof::Statement, Proof::Repetition, Proof::Nothing][random.below(3) as usize];
        let ids = match (proof, random.below(3)) {
            (Proof::Nothing, number) => [Ids::Fill, Ids::Replace][(number % 2) as usize],
            (_, number) => [Ids::Keep, Ids::Fill, Ids::Replace][number as usize],
        };
        Self::with(proof, ids, random.below(4) == 0, random)
    }

    /// Creates a producer that says that it continues, and neither breaks nor refuses a connection.
    pub(super) fn faultless(random: SeededRandom) -> Arc<Self> {
        let producer = Self::with(Proof::Statement, Ids::Keep, false, random);
        producer.heal();
        producer
    }

    fn with(proof: Proof, ids: Ids, is_always_open: bool, random: SeededRandom) -> Arc<Self> {
        Arc::new(Self {
            proof,
            ids,
            is_always_open,
            newest: watch::channel(0).0,
            is_over: AtomicBool::new(false),
            random,
            is_faultless: Mutex::new(false),
            connections: Mutex::default(),
        })
    }

    /// Returns the number of the newest event.
    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Produces events, in bursts and pauses.
    pub(super) async fn produce(&self) {
        loop {
            let count = if self.random.below(8) == 0 { 1 + self.random.below(9) } else { 1 };
            self.newest.send_modify(|newest| *newest += count);
            let pause = match self.random.below(12) {
                0 => self.random.pause(2000, 8000),
                1..4 => self.random.pause(0, 20),
                _ => self.random.pause(20, 800),
            };
            sleep(pause).await;
        }
    }

    /// Produces one event.
    pub(super) fn emit(&self) {
        self.newest.send_modify(|newest| *newest += 1);
    }

    /// Ends all connections once they have the newest event.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.newest.send_modify(|_| {});
    }

    /// Returns true if its stream has been live for so long that a refusal is no first answer.
    fn may_refuse(&self) -> bool {
        let has_long_read = |known: &Connection| known.read > known.opened && known.read.elapsed() > LONG_LIVE;
        self.connections.lock().iter().any(has_long_read)
    }

    /// Breaks and refuses no connection from now on.
    pub(super) fn heal(&self) {
        *self.is_faultless.lock() = true;
    }

    /// Closes the connections of a run that was killed.
    pub(super) fn close(&self, run: u64) {
        let now = Instant::now();
        self.connections.lock().iter_mut().filter(|known| known.run == run).for_each(|known| {
            known.closed.get_or_insert(now);
        });
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().clone()
    }

    fn has_fault(&self, probability: f64) -> bool {
        !*self.is_faultless.lock() && self.random.has(probability)
    }

    /// Returns the id of an event, if it has one.
    pub(super) fn id(number: u64) -> String {
        format!("n{number}")
    }

    fn event(&self, number: u64) -> Item {
        let id = match self.proof {
            Proof::Statement | Proof::Repetition => Some(EventId::new(Self::id(number)).expect("an id")),
            Proof::Nothing => None,
        };
        Item::Event(Event { kind: String::new(), data: number.to_string(), id })
    }
}

impl EventSource for ProducerSource {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        async move {
            let producer = self.producer.clone();
            sleep(producer.random.pause(0, 200)).await;
            // A history that is refused or breaks off is answered with a gap, which is honest and says nothing of the protocol.
            let has_faults = self.reader.is_some();
            if has_faults && producer.has_fault(0.05) {
                return Err(OpenError::Unreachable("nobody there".to_owned()));
            }
            if has_faults && producer.may_refuse() && producer.has_fault(0.05) {
                return Err(OpenError::NotFound("not here".to_owned()));
            }
            let after = after.as_ref().and_then(|id| id.as_str().strip_prefix('n')?.parse::<u64>().ok());
            let (next, continuity) = match (after, producer.proof) {
                (None, _) | (_, Proof::Nothing) => (producer.newest() + 1, Continuity::Unknown),
                (Some(after), Proof::Statement) => (after + 1, Continuity::Continued),
                (Some(after), Proof::Repetition) => (after, Continuity::Unknown),
            };
            let retained = match after {
                Some(_) if producer.random.below(3) == 0 => next..(next + 3).min(producer.newest() + 1),
                Some(_) | None => next..next,
            };
            let next = retained.end;
            let retained = retained.map(|number| producer.event(number)).collect();
            let number = self.reader.map(|(run, key)| {
                let mut connections = producer.connections.lock();
                let now = Instant::now();
                connections.push(Connection { run, key, opened: now, closed: None, read: now });
                connections.len() - 1
            });
            let connection = OpenConnection(producer.clone(), number);
            let items = unfold((connection, next, false), move |(connection, next, is_over)| async move {
                if is_over {
                    return None;
                }
                let producer = connection.0.clone();
                let mut newest = producer.newest.subscribe();
                let is_over = || producer.is_over.load(Ordering::Relaxed);
                let newest = *newest.wait_for(|newest| *newest >= next || is_over()).await.ok()?;
                if newest < next {
                    return None;
                }
                sleep(producer.random.pause(0, 5)).await;
                connection.with(|known| known.read = Instant::now());
                if has_faults && producer.has_fault(0.02) {
                    let broken = Interrupted::Broken("cut by the schedule".to_owned());
                    return Some((Err(broken), (connection, next, true)));
                }
                let end = (newest + 1).min(next + 1 + producer.random.below(5));
                let items = (next..end).map(|number| producer.event(number)).collect();
                Some((Ok(Batch { items, bytes: 10, ..Batch::default() }), (connection, end, false)))
            });
            Ok(OpenOutcome::Stream(Opened { retained, items: items.boxed(), continuity }))
        }
        .boxed()
    }
}

impl OpenConnection {
    fn with(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(number) = self.1
            && let Some(known) = self.0.connections.lock().get_mut(number)
        {
            change(known);
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.with(|connection| {
            connection.closed.get_or_insert(Instant::now());
        });
    }
}

/// The time after an event until a producer may refuse a connection.
const LONG_LIVE: Duration = Duration::from_secs(10);
