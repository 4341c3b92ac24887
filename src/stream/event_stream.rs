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
use super::read::{IdFrameCache, LatestBatch, ReadBatch, ReadBatchBuilder, WaiterSet};
use crate::runtime::log_bytes::LogBytes;
use crate::sse::{EventId, Frame};

/// One stream, shared by everyone who reads it.
#[derive(Debug)]
pub struct EventStream {
    key: StreamKey,
    policy: Policy,
    /// Who its fingerprints and minted ids belong to. Held for a lookup or, before anything is published, a change.
    incarnation: RwLock<Incarnation>,
    /// Who keeps the log beyond the process.
    persister: OnceLock<Arc<dyn LogPersister>>,
    /// Guards the past. Held for appends and for taking handles, never across an await.
    log: RwLock<EventLog>,
    /// What of the log is counted_weight in the log_bytes of all logs. Changed with the log, under its lock.
    counted_weight: AtomicU64,
    /// The log_bytes of all logs.
    log_bytes: OnceLock<Arc<LogBytes>>,
    /// What was appended last, for the many who lack just that. Changed with the log, under its lock.
    latest: ArcSwapOption<LatestBatch>,
    progress: watch::Sender<Progress>,
    /// Is woken when there is more to read, or never will be.
    waiters: WaiterSet,
    /// The log's end, to be looked at without a lock.
    end: AtomicU64,
    /// Whether nothing more will be appended.
    is_ended: AtomicBool,
    /// Whether a client was answered while nothing was known of the source.
    has_early_response: AtomicBool,
    /// Readers that ever came: who waits for there to be none sees that one came and left meanwhile.
    subscriptions_begun: AtomicU64,
    /// Set when the stream has to give its place to another.
    eviction: Notify,
    /// The id that was told last by itself.
    id_frames: IdFrameCache,
    /// What an operator wants to know; touched on changes only.
    condition: RwLock<Condition>,
    /// When its upstream last said something.
    last_activity: LastActivity,
}

impl EventStream {
    /// A stream without a past.
    pub fn new(key: StreamKey, policy: Policy) -> Arc<Self> {
        Self::at(Offset::default(), key, policy)
    }

    /// A stream that can be given a past.
    pub fn with_restorable_log(key: StreamKey, policy: Policy) -> Arc<Self> {
        Self::at(RESTORABLE_START, key, policy)
    }

    fn at(start: Offset, key: StreamKey, policy: Policy) -> Arc<Self> {
        let progress = Progress { end: start, phase: Phase::Opening, retry: None };
        Arc::new(Self {
            key,
            policy,
            incarnation: RwLock::new(Incarnation::new(policy.ids)),
            persister: OnceLock::new(),
            log: RwLock::new(EventLog::at(start, policy.retention)),
            counted_weight: AtomicU64::new(0),
            log_bytes: OnceLock::new(),
            latest: ArcSwapOption::empty(),
            progress: watch::channel(progress).0,
            waiters: WaiterSet::default(),
            end: AtomicU64::new(start.0),
            is_ended: AtomicBool::new(false),
            has_early_response: AtomicBool::new(false),
            subscriptions_begun: AtomicU64::new(0),
            eviction: Notify::new(),
            id_frames: IdFrameCache::default(),
            condition: RwLock::new(Condition { since: SystemTime::now(), last_error: None, is_stuck: false }),
            last_activity: LastActivity::new(Instant::now()),
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
    pub fn id_minter(&self) -> MappedRwLockReadGuard<'_, IdMinter> {
        RwLockReadGuard::map(self.incarnation.read(), |incarnation| &incarnation.minter)
    }

    /// What tells its events apart.
    pub fn fingerprints(&self) -> Fingerprints {
        self.incarnation.read().fingerprints
    }

    /// Has its log kept beyond the process from now on. Once, before anything is published.
    pub fn attach_persister(&self, persister: Arc<dyn LogPersister>) {
        assert!(self.persister.set(persister).is_ok(), "a log is kept in one place");
    }

    /// Has its log counted_weight in this log_bytes. Once, before anything is published.
    pub(super) fn attach_log_bytes(&self, log_bytes: Arc<LogBytes>) {
        assert!(self.log_bytes.set(log_bytes).is_ok(), "a log is counted_weight in one log_bytes");
    }

    /// To be called whenever the log has changed, under its lock.
    fn update_counted(&self, log: &EventLog) {
        if let Some(log_bytes) = self.log_bytes.get() {
            let now = log.weight() as u64;
            log_bytes.update(self.counted_weight.swap(now, Ordering::Relaxed), now);
        }
    }

    /// What of its log is counted_weight in the log_bytes of all logs.
    pub(super) fn counted_weight(&self) -> u64 {
        self.counted_weight.load(Ordering::Relaxed)
    }

    /// Evicts the oldest entries until the log takes no more of memory than this: others need it.
    pub(super) fn shrink_to(&self, most: u64) {
        self.evict_by(|log| log.shrink_to(usize::try_from(most).unwrap_or(usize::MAX)));
    }

    /// Who keeps the log beyond the process.
    pub fn persister(&self) -> Option<&Arc<dyn LogPersister>> {
        self.persister.get()
    }

    /// Goes on with what was kept, before anything is published.
    pub fn restore(&self, kept: StoredStream, now: Instant) {
        // Held to the end: whoever keeps the log must not see one half of this.
        let mut log = self.log.write();
        log.restore(kept.snapshot, now);
        let events = log.events_until(log.end());
        self.update_counted(&log);
        *self.incarnation.write() =
            Incarnation::continued(self.policy.ids, kept.epoch, kept.seed, events, kept.is_clean);
        drop(log);
        if let Some(retry) = kept.retry {
            self.advertise_retry(retry);
        }
    }

    /// Whether its source has ever been connected, in this process or an earlier one.
    pub fn has_been_live(&self) -> bool {
        self.incarnation.read().has_been_live()
    }

    /// A client has been answered before the source's first outcome: should that be a refusal, it is told in-band, and
    /// the client comes back for the status.
    pub fn note_early_response(&self) {
        self.has_early_response.store(true, Ordering::Release);
    }

    /// Whether a client has been answered before the source's first outcome.
    pub(super) fn has_early_response(&self) -> bool {
        self.has_early_response.load(Ordering::Acquire)
    }

    /// Whether `id` is not in the log, but may have been given to a client before the stream was cut off, so that the
    /// upstream may bring it again.
    pub fn may_reappear(&self, id: &str) -> bool {
        let can_return = self.incarnation.read().may_reappear(id);
        // Whoever holds both locks has taken the log's first.
        can_return && self.log.read().lookup(id) == IdLookup::Unknown
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
        self.update_counted(&log);
        if self.latest.load().as_ref().is_some_and(|latest| latest.start() < log.start()) {
            self.latest.store(None);
        }
    }

    /// What a reader at this place lacks, if it is what was published last. Takes no lock.
    pub(super) fn latest(&self, at: Offset, bytes: usize, events: u64) -> Option<ReadBatch> {
        self.latest.load().as_ref()?.batch_at(at, bytes, events)
    }

    /// Appends all entries under one lock and wakes the readers once.
    pub fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        if self.append(entries) {
            self.waiters.wake_all();
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
            let latest = LatestBatch::new(start, published).filter(|latest| latest.start() >= log.start());
            self.latest.store(latest.map(Arc::new));
            self.update_counted(&log);
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
        self.notify_persister();
        is_new
    }

    fn notify_persister(&self) {
        if let Some(persister) = self.persister.get() {
            persister.notify_changed();
        }
    }

    /// Tells readers what the source is doing.
    pub fn set_phase(&self, phase: Phase) {
        let error = phase.error();
        let (is_live, is_complete) = (phase == Phase::Live, phase == Phase::Complete);
        if is_live {
            self.incarnation.write().connected.get_or_insert_with(tokio::time::Instant::now);
        }
        let is_ended = is_complete || matches!(phase, Phase::Refused(_));
        let mut is_first_outcome = false;
        let is_new = self.progress.send_if_modified(|progress| {
            let is_new = progress.phase != phase;
            is_first_outcome = is_new && progress.phase == Phase::Opening;
            progress.phase = phase;
            is_new
        });
        if is_ended {
            self.is_ended.store(true, Ordering::Release);
        }
        if is_ended || is_first_outcome {
            self.waiters.wake_all();
        }
        if is_complete {
            self.notify_persister();
        }
        self.condition.write().update(is_new, error);
    }

    /// Notes what went wrong with the upstream, or that nothing does, and whether it is stuck.
    pub(super) fn record_failure(&self, error: Option<&str>, is_stuck: bool) {
        let mut condition = self.condition.write();
        condition.is_stuck = is_stuck;
        condition.last_error = error.map(ToOwned::to_owned).or(condition.last_error.take());
    }

    /// A block that sets this id and dispatches nothing: one piece of memory for all who are told the same id in a row.
    pub fn id_frame(&self, id: &EventId) -> Frame {
        self.id_frames.frame(id)
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
        self.subscriptions_begun.fetch_add(1, Ordering::Relaxed);
        self.progress.subscribe()
    }

    /// Who reads the stream now.
    pub fn waiters(&self) -> &WaiterSet {
        &self.waiters
    }

    /// The log's end, without a lock.
    pub(super) fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Whether nothing more will be appended, without a lock.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    /// How many have ever begun to read the stream.
    pub fn subscriptions_begun(&self) -> u64 {
        self.subscriptions_begun.load(Ordering::Relaxed)
    }

    /// How many read the stream now.
    pub fn subscribers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// When its upstream last said something.
    pub fn last_activity(&self) -> &LastActivity {
        &self.last_activity
    }

    /// Tells of progress whoever is about to look at the log. Counts as a reader.
    pub(super) fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Has whoever feeds it stop at once: it has been taken from the registry, and has no reader.
    pub(super) fn evict(&self) {
        self.eviction.notify_one();
    }

    /// Completes when it has been dismissed. For its one feeder.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Completes when nobody reads the stream. Cancel-safe.
    pub async fn unsubscribed(&self) {
        self.progress.closed().await;
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(log_bytes) = self.log_bytes.get() {
            log_bytes.update(self.counted_weight(), 0);
        }
    }
}

/// Where the log of a stream that can be given a past begins: with room for more entries than can ever be kept.
const RESTORABLE_START: Offset = Offset(1 << 40);
