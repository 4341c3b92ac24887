//! One shared stream: its log, its readers, and a signal that moves when its phase does.
//!
//! ```text
//!   ingest ── publish ──▶ EventLog ◀── read ── Subscription (an Offset)
//!                │                                 ▲
//!                ├───────── Audience: wakes ───────┤
//!                └───────── Progress { phase } ────┘
//! ```
//!
//! Publishing appends once and wakes each reader once at most. Does not know how events are fetched or delivered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use tokio::sync::{Notify, watch};

use super::feed::IdMinter;
use super::incarnation::Incarnation;
use super::key::StreamKey;
use super::last_activity::LastActivity;
use super::log::{Entry, EventLog, Fingerprints, IdLookup, Offset, Policy};
use super::persistence::{LogPersister, StoredStream};
use super::progress::{Condition, Phase, Progress};
use super::read::{LatestBatch, LongIdFrame, ReadBatch, ReadBatchBuilder, WaiterSet};
use crate::runtime::log_bytes::LogBytes;
use crate::sse::{EventId, Frame};

/// One stream, shared by everyone who reads it.
#[derive(Debug)]
pub struct EventStream {
    key: StreamKey,
    policy: Policy,
    /// Who its fingerprints and minted ids belong to. Held for a lookup or, before anything is published, a change.
    life: RwLock<Incarnation>,
    /// Who keeps the log beyond the process.
    journal: OnceLock<Arc<dyn LogPersister>>,
    /// Guards the past. Held for appends and for taking handles, never across an await.
    log: RwLock<EventLog>,
    /// What of the log is counted in the sum of all logs. Changed with the log, under its lock.
    counted: AtomicU64,
    /// The sum of all logs.
    sum: OnceLock<Arc<LogBytes>>,
    /// What was appended last, for the many who lack just that. Changed with the log, under its lock.
    news: ArcSwapOption<LatestBatch>,
    progress: watch::Sender<Progress>,
    /// Is woken when there is more to read, or never will be.
    audience: WaiterSet,
    /// The log's end, to be looked at without a lock.
    end: AtomicU64,
    /// Whether nothing more will be appended.
    is_over: AtomicBool,
    /// Whether a client was answered while nothing was known of the source.
    is_answered_early: AtomicBool,
    /// Readers that ever came: who waits for there to be none sees that one came and left meanwhile.
    arrivals: AtomicU64,
    /// Set when the stream has to give its place to another.
    dismissal: Notify,
    /// The id that was told last by itself.
    told_id: LongIdFrame,
    /// What an operator wants to know; touched on changes only.
    condition: RwLock<Condition>,
    /// When its upstream last said something.
    heard: LastActivity,
}

impl EventStream {
    /// A stream without a past.
    pub fn new(key: StreamKey, policy: Policy) -> Arc<Self> {
        Self::at(Offset::default(), key, policy)
    }

    /// A stream that can be given a past.
    pub fn with_room_for_a_past(key: StreamKey, policy: Policy) -> Arc<Self> {
        Self::at(AFTER_ANY_PAST, key, policy)
    }

    fn at(start: Offset, key: StreamKey, policy: Policy) -> Arc<Self> {
        let progress = Progress { end: start, phase: Phase::Opening, retry: None };
        Arc::new(Self {
            key,
            policy,
            life: RwLock::new(Incarnation::new(policy.ids)),
            journal: OnceLock::new(),
            log: RwLock::new(EventLog::at(start, policy.retention)),
            counted: AtomicU64::new(0),
            sum: OnceLock::new(),
            news: ArcSwapOption::empty(),
            progress: watch::channel(progress).0,
            audience: WaiterSet::default(),
            end: AtomicU64::new(start.0),
            is_over: AtomicBool::new(false),
            is_answered_early: AtomicBool::new(false),
            arrivals: AtomicU64::new(0),
            dismissal: Notify::new(),
            told_id: LongIdFrame::default(),
            condition: RwLock::new(Condition { since: SystemTime::now(), last_error: None, is_stuck: false }),
            heard: LastActivity::new(Instant::now()),
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
    pub fn minter(&self) -> MappedRwLockReadGuard<'_, IdMinter> {
        RwLockReadGuard::map(self.life.read(), |life| &life.minter)
    }

    /// What tells its events apart.
    pub fn fingerprints(&self) -> Fingerprints {
        self.life.read().fingerprints
    }

    /// Has its log kept beyond the process from now on. Once, before anything is published.
    pub fn keep_in(&self, journal: Arc<dyn LogPersister>) {
        assert!(self.journal.set(journal).is_ok(), "a log is kept in one place");
    }

    /// Has its log counted in this sum. Once, before anything is published.
    pub(super) fn count_in(&self, sum: Arc<LogBytes>) {
        assert!(self.sum.set(sum).is_ok(), "a log is counted in one sum");
    }

    /// To be called whenever the log has changed, under its lock.
    fn count(&self, log: &EventLog) {
        if let Some(sum) = self.sum.get() {
            let now = log.weight() as u64;
            sum.change(self.counted.swap(now, Ordering::Relaxed), now);
        }
    }

    /// What of its log is counted in the sum of all logs.
    pub(super) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Evicts the oldest entries until the log takes no more of memory than this: others need it.
    pub(super) fn shrink(&self, most: u64) {
        self.evict_by(|log| log.shrink(usize::try_from(most).unwrap_or(usize::MAX)));
    }

    /// Who keeps the log beyond the process.
    pub fn journal(&self) -> Option<&Arc<dyn LogPersister>> {
        self.journal.get()
    }

    /// Goes on with what was kept, before anything is published.
    pub fn resume(&self, kept: StoredStream, now: Instant) {
        // Held to the end: whoever keeps the log must not see one half of this.
        let mut log = self.log.write();
        log.resume(kept.past, now);
        let events = log.events_until(log.end());
        self.count(&log);
        *self.life.write() = Incarnation::continued(self.policy.ids, kept.epoch, kept.seed, events, kept.is_whole);
        drop(log);
        if let Some(retry) = kept.retry {
            self.advertise_retry(retry);
        }
    }

    /// Whether its source has ever been connected, in this process or an earlier one.
    pub fn has_been_live(&self) -> bool {
        self.life.read().has_been_live()
    }

    /// A client has been answered before the source's first outcome: should that be a refusal, it is told in-band, and
    /// the client comes back for the status.
    pub fn answered_early(&self) {
        self.is_answered_early.store(true, Ordering::Release);
    }

    /// Whether a client has been answered before the source's first outcome.
    pub(super) fn is_answered_early(&self) -> bool {
        self.is_answered_early.load(Ordering::Acquire)
    }

    /// Whether `id` is not in the log, but may have been given to a client before the stream was cut off, so that the
    /// upstream may bring it again.
    pub fn may_return(&self, id: &str) -> bool {
        let can_return = self.life.read().may_bring(id);
        // Whoever holds both locks has taken the log's first.
        can_return && self.log.read().place(id) == IdLookup::Unknown
    }

    /// The past, for reading.
    pub fn log(&self) -> RwLockReadGuard<'_, EventLog> {
        self.log.read()
    }

    /// Evicts what has become too old: a quiet stream appends nothing, and appending is what evicts otherwise.
    pub fn expire(&self, now: Instant) {
        self.evict_by(|log| log.expire(now));
    }

    fn evict_by(&self, evict: impl FnOnce(&mut EventLog)) {
        let mut log = self.log.write();
        evict(&mut log);
        self.count(&log);
        if self.news.load().as_ref().is_some_and(|news| news.start() < log.start()) {
            self.news.store(None);
        }
    }

    /// What a reader at this place lacks, if it is what was published last. Takes no lock.
    pub(super) fn news(&self, at: Offset, bytes: usize, events: u64) -> Option<ReadBatch> {
        self.news.load().as_ref()?.taken(at, bytes, events)
    }

    /// Appends all entries under one lock and wakes the readers once.
    pub fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        if self.append(entries) {
            self.audience.ring();
        }
    }

    /// Appends all entries under one lock; whether readers are to be woken, which is the caller's to do.
    pub(super) fn append(&self, entries: impl IntoIterator<Item = Entry>) -> bool {
        let end = {
            let mut log = self.log.write();
            let (start, mut published) = (log.end(), ReadBatchBuilder::default());
            for entry in entries {
                published.add_entry(&entry);
                log.append(entry);
            }
            // Of what is evicted already, nothing is given.
            let news = LatestBatch::new(start, published).filter(|news| news.start() >= log.start());
            self.news.store(news.map(Arc::new));
            self.count(&log);
            log.end()
        };
        let mut is_new = false;
        // Readers are woken by themselves; who watches the progress are a few who wait for something else.
        self.progress.send_if_modified(|progress| {
            is_new = progress.end != end;
            progress.end = end;
            is_new
        });
        self.end.store(end.0, Ordering::Release);
        self.note_change();
        is_new
    }

    fn note_change(&self) {
        if let Some(journal) = self.journal.get() {
            journal.changed();
        }
    }

    /// Tells readers what the source is doing.
    pub fn enter(&self, phase: Phase) {
        let error = phase.error();
        let (is_live, is_complete) = (phase == Phase::Live, phase == Phase::Complete);
        if is_live {
            self.life.write().connected.get_or_insert_with(tokio::time::Instant::now);
        }
        let is_over = is_complete || matches!(phase, Phase::Refused(_));
        let mut is_first_outcome = false;
        let is_new = self.progress.send_if_modified(|progress| {
            let is_new = progress.phase != phase;
            is_first_outcome = is_new && progress.phase == Phase::Opening;
            progress.phase = phase;
            is_new
        });
        if is_over {
            self.is_over.store(true, Ordering::Release);
        }
        if is_over || is_first_outcome {
            self.audience.ring();
        }
        if is_complete {
            self.note_change();
        }
        self.condition.write().enter(is_new, error);
    }

    /// Notes what went wrong with the upstream, or that nothing does, and whether it is stuck.
    pub(super) fn note_trouble(&self, error: Option<&str>, is_stuck: bool) {
        let mut condition = self.condition.write();
        condition.is_stuck = is_stuck;
        condition.last_error = error.map(ToOwned::to_owned).or(condition.last_error.take());
    }

    /// A block that sets this id and dispatches nothing: one piece of memory for all who are told the same id in a row.
    pub fn id_frame(&self, id: &EventId) -> Frame {
        self.told_id.frame(id)
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

    /// Counts a reader that begins, and lets it watch the progress.
    pub(super) fn add_reader(&self) -> watch::Receiver<Progress> {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.progress.subscribe()
    }

    /// Who reads the stream now.
    pub fn audience(&self) -> &WaiterSet {
        &self.audience
    }

    /// The log's end, without a lock.
    pub(super) fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Whether nothing more will be appended, without a lock.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// How many have ever begun to read the stream.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// How many read the stream now.
    pub fn subscribers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// When its upstream last said something.
    pub fn heard(&self) -> &LastActivity {
        &self.heard
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

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(sum) = self.sum.get() {
            sum.change(self.counted(), 0);
        }
    }
}

/// Where the log of a stream that can be given a past begins: with room for more entries than can ever be kept.
const AFTER_ANY_PAST: Offset = Offset(1 << 40);
