//! One shared stream: its log, and a signal that moves when the log or the phase does.
//!
//! ```text
//!   ingest ── publish ──▶ EventLog ◀── read ── Subscription (an Offset)
//!                │                                 ▲
//!                └──── Progress { end, phase } ────┘
//! ```
//!
//! Publishing appends once and wakes once, whatever the audience. Does not know how events are fetched or delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::fingerprint::Fingerprints;
use super::key::StreamKey;
use super::log::{Entry, EventLog, Offset};
use super::minter::Minter;
use super::policy::Policy;
use super::read_through::CatchUps;
use super::readers::Readers;
use super::source::OpenError;
use super::subscription::Subscription;

/// One stream, shared by everyone who reads it.
#[derive(Debug)]
pub struct EventStream {
    key: StreamKey,
    policy: Policy,
    minter: Minter,
    fingerprints: Fingerprints,
    /// Guards the past. Held for appends and for taking handles, never across an await.
    log: RwLock<EventLog>,
    progress: watch::Sender<Progress>,
    /// Readers that ever came: who waits for there to be none sees that one came and left meanwhile.
    arrivals: AtomicU64,
    /// Set when the stream has to give its place to another.
    dismissal: Notify,
    /// What an operator wants to know; touched on changes only.
    condition: RwLock<Condition>,
    /// Extra requests for the history that run now.
    catch_ups: CatchUps,
    readers: Readers,
}

/// Where the stream is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The log's end.
    pub end: Offset,
    /// What the source is doing.
    pub phase: Phase,
    /// The upstream's own reconnection time in milliseconds, once it has said one.
    pub retry: Option<std::time::Duration>,
}

/// What the source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its first connection is being made.
    Opening,
    /// Events come as they happen.
    Live,
    /// It is gone and being tried again. `None`: it was connected and broke.
    Retrying(Option<Arc<OpenError>>),
    /// It was refused at the first attempt; the stream is about to be forgotten.
    Refused(Arc<OpenError>),
    /// It has said all.
    Complete,
}

/// What an operator wants to know about a stream.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Since when it has been in its phase.
    pub since: SystemTime,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl EventStream {
    /// A stream without a past.
    pub fn new(key: StreamKey, policy: Policy) -> Arc<Self> {
        let progress = Progress { end: Offset::default(), phase: Phase::Opening, retry: None };
        Arc::new(Self {
            key,
            policy,
            minter: Minter::new(policy.ids),
            fingerprints: Fingerprints::default(),
            log: RwLock::new(EventLog::new(policy.retention)),
            progress: watch::channel(progress).0,
            arrivals: AtomicU64::new(0),
            dismissal: Notify::new(),
            condition: RwLock::new(Condition { since: SystemTime::now(), last_error: None }),
            catch_ups: CatchUps::default(),
            readers: Readers::default(),
        })
    }

    /// What tells this stream apart.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// How it is kept.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whose ids its clients see.
    pub fn minter(&self) -> &Minter {
        &self.minter
    }

    /// What tells its events apart.
    pub fn fingerprints(&self) -> &Fingerprints {
        &self.fingerprints
    }

    /// The past, for reading.
    pub fn log(&self) -> parking_lot::RwLockReadGuard<'_, EventLog> {
        self.log.read()
    }

    /// Evicts what has become too old: a quiet stream appends nothing, and appending is what evicts otherwise.
    pub fn expire(&self, now: Instant) {
        self.log.write().expire(now);
    }

    /// Appends all entries under one lock and wakes the readers once.
    pub fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        let end = {
            let mut log = self.log.write();
            for entry in entries {
                log.append(entry);
            }
            log.end()
        };
        self.progress.send_if_modified(|progress| {
            let is_new = progress.end != end;
            progress.end = end;
            is_new
        });
    }

    /// Tells readers what the source is doing.
    pub fn enter(&self, phase: Phase) {
        let error = match &phase {
            Phase::Retrying(Some(error)) | Phase::Refused(error) => Some(error.to_string()),
            Phase::Retrying(None) | Phase::Opening | Phase::Live | Phase::Complete => None,
        };
        let is_new = self.progress.send_if_modified(|progress| {
            let is_new = progress.phase != phase;
            progress.phase = phase;
            is_new
        });
        let mut condition = self.condition.write();
        if is_new {
            condition.since = SystemTime::now();
        }
        if error.is_some() {
            condition.last_error = error;
        }
    }

    /// Notes what broke an open connection.
    pub fn note_error(&self, error: &impl ToString) {
        self.condition.write().last_error = Some(error.to_string());
    }

    /// What an operator wants to know.
    pub fn condition(&self) -> Condition {
        self.condition.read().clone()
    }

    /// Notes the upstream's own reconnection time, for clients to come.
    pub fn advertise_retry(&self, retry: std::time::Duration) {
        self.progress.send_if_modified(|progress| {
            progress.retry = Some(retry);
            false
        });
    }

    /// Where the stream is now.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// A reader at the log's end.
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
        // Watch first, look second: whatever is appended in between wakes the reader.
        let progress = self.progress.subscribe();
        Subscription::new(self.clone(), progress, number)
    }

    /// Who reads the stream now.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// How many have ever begun to read the stream.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// How many read the stream now.
    pub fn subscribers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// Extra requests for the history that run now.
    pub(super) fn catch_ups(&self) -> &CatchUps {
        &self.catch_ups
    }

    /// Tells of progress whoever is about to look at the log. Counts as a reader.
    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Has whoever feeds it stop at once: it has been taken from the registry, and has no reader.
    pub(super) fn dismiss(&self) {
        self.dismissal.notify_one();
    }

    /// Completes when it has been dismissed. For its one feeder.
    pub(super) async fn dismissed(&self) {
        self.dismissal.notified().await;
    }

    /// Completes when nobody reads the stream. Cancel-safe.
    pub async fn unsubscribed(&self) {
        self.progress.closed().await;
    }
}
