//! One shared stream: its log, its readers, and a signal for changes of its phase.
//!
//! ```text
//!   ingest ── publish ──▶ EventLog ◀── read ── Subscription (an Offset)
//!                │                                 ▲
//!                ├───────── WaiterSet: wakes ──────┤
//!                └───────── Progress { phase } ────┘
//! ```
//!
//! Publishing appends once and wakes each reader at most once. This file does not know how events are fetched or
//! delivered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::{Notify, watch};

use super::batch::{LatestBatch, LatestGuard, ReadBatch, ReadBatchBuilder};
use super::coded::{CodedLog, CodedLogs, CodingWindow};
use super::event_rate::EventRate;
use super::incarnation::Incarnation;
use super::key::StreamKey;
use super::last_activity::LastActivity;
use super::live_policy::LivePolicy;
use super::log::{Entry, EventLog, Ids, Offset};
use super::persistence::LogPersister;
use super::progress::{Condition, MIN_RETRY, Phase, Progress};
use super::read::{IdFrameCache, WaiterSet};
use super::shared_log::SharedLog;
use super::stored_requests::OpeningRequest;
use super::stream_memory::StreamMemory;
use super::unread::ReaderCount;
use crate::coding::ContentCoding;
use crate::runtime::memory::{MemoryLedger, MemoryLevel};
use crate::sse::{EventId, Frame};

/// One stream, shared by all of its readers.
#[derive(Debug)]
pub struct EventStream {
    key: StreamKey,
    ids: Ids,
    policy: Arc<LivePolicy>,
    /// Read-locked for lookups; write-locked only before the first publish and on the first connection.
    incarnation: RwLock<Incarnation>,
    /// The request that opened the stream, if an equal one is to find it in the store.
    request: OnceLock<Box<OpeningRequest>>,
    /// The storage of the log, if the route has one.
    persister: OnceLock<Arc<dyn LogPersister>>,
    /// The log that other gateways share, if the route has one.
    shared: OnceLock<Arc<dyn SharedLog>>,
    /// Locked to append and to take handles, never across an await.
    log: RwLock<EventLog>,
    /// The log's part of the ledger. Changed with the log, under its lock.
    memory: StreamMemory,
    /// The entries that were appended last. Most readers lack exactly these. Changed with the log, under its lock.
    latest: ArcSwapOption<LatestBatch>,
    /// The log's entries in the content codings that readers take.
    coded: CodedLogs,
    progress: watch::Sender<Progress>,
    /// The readers that wait for entries or for the end.
    waiters: WaiterSet,
    /// The log's end, readable without the lock.
    end: AtomicU64,
    /// True if nothing more will be appended.
    is_ended: AtomicBool,
    /// True if a client got a response before the source's first outcome.
    has_early_response: AtomicBool,
    /// The offset after what the source had when it was first opened. [`BACKLOG_ARRIVING`] until that is known.
    backlog_end: AtomicU64,
    readers: ReaderCount,
    /// Signals the ingest to stop because a client asks for it.
    stop: Notify,
    /// Signals the ingest to stop because another stream needs the place.
    eviction: Notify,
    /// The last frame that sets an id without an event.
    id_frames: IdFrameCache,
    /// The state that the operator sees. Changed with the phase only.
    condition: RwLock<Condition>,
    /// The time of the upstream's last activity.
    last_activity: LastActivity,
    event_rate: EventRate,
}

impl EventStream {
    /// Creates a stream with an empty log.
    pub fn new(key: StreamKey, ids: Ids, policy: Arc<LivePolicy>) -> Arc<Self> {
        Self::at(Offset::default(), key, ids, policy)
    }

    /// Creates a stream whose log can be restored before the first publish.
    pub fn with_restorable_log(key: StreamKey, ids: Ids, policy: Arc<LivePolicy>) -> Arc<Self> {
        Self::at(RESTORABLE_START, key, ids, policy)
    }

    fn at(start: Offset, key: StreamKey, ids: Ids, policy: Arc<LivePolicy>) -> Arc<Self> {
        let retention = policy.current().retention;
        let progress = Progress { end: start, phase: Phase::Opening, retry: None };
        Arc::new(Self {
            key,
            ids,
            policy,
            incarnation: RwLock::new(Incarnation::new(ids)),
            request: OnceLock::new(),
            persister: OnceLock::new(),
            shared: OnceLock::new(),
            log: RwLock::new(EventLog::at(start, retention)),
            memory: StreamMemory::default(),
            latest: ArcSwapOption::empty(),
            coded: CodedLogs::default(),
            progress: watch::channel(progress).0,
            waiters: WaiterSet::default(),
            end: AtomicU64::new(start.0),
            is_ended: AtomicBool::new(false),
            has_early_response: AtomicBool::new(false),
            backlog_end: AtomicU64::new(0),
            readers: ReaderCount::default(),
            stop: Notify::new(),
            eviction: Notify::new(),
            id_frames: IdFrameCache::default(),
            condition: RwLock::new(Condition { since: SystemTime::now(), last_error: None, is_stuck: false }),
            last_activity: LastActivity::new(Instant::now()),
            event_rate: EventRate::default(),
        })
    }

    /// Returns the stream's identity.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// Returns the policy, which a reload may replace.
    pub fn policy(&self) -> &LivePolicy {
        &self.policy
    }

    /// Attaches the storage of the log. Must be called at most once.
    pub fn attach_persister(&self, persister: Arc<dyn LogPersister>) {
        assert!(self.persister.set(persister).is_ok(), "a log has one persister");
    }

    /// Attaches the ledger of memory. Must be called at most once, before the first publish.
    pub(super) fn attach_ledger(&self, ledger: Arc<MemoryLedger>) {
        self.memory.attach(ledger);
    }

    /// Returns the ledger of memory. `None` for a stream outside a registry.
    pub fn ledger(&self) -> Option<&Arc<MemoryLedger>> {
        self.memory.ledger()
    }

    /// Returns true if memory is full, so that nothing new may be held.
    pub fn is_memory_full(&self) -> bool {
        self.ledger().is_some_and(|ledger| ledger.level() == MemoryLevel::Full)
    }

    /// Returns the memory of the log, in bytes.
    pub(super) fn log_weight(&self) -> u64 {
        self.memory.log()
    }

    /// Evicts the oldest entries until the log takes at most `most` bytes of memory, or has only `kept` entries left.
    /// Returns true if it evicted any.
    pub(super) fn shrink_to(&self, most: u64, kept: usize) -> bool {
        let before = self.log_weight();
        self.evict_by(|log| log.shrink_to(usize::try_from(most).unwrap_or(usize::MAX), kept));
        self.log_weight() < before
    }

    /// Stops counting evicted entries that readers no longer hold.
    pub(super) fn sweep_pinned(&self) {
        if self.memory.has_pinned() {
            self.evict_by(EventLog::sweep_pinned);
        }
    }

    /// Returns the storage of the log, if any.
    pub fn persister(&self) -> Option<&Arc<dyn LogPersister>> {
        self.persister.get()
    }

    /// Notes that a client got a response before the source's first outcome. A refusal is then sent in-band, and the
    /// client returns for the status.
    pub fn note_early_response(&self) {
        self.has_early_response.store(true, Ordering::Release);
    }

    /// Notes that what the source has at its first opening in this process comes next.
    pub(super) fn begin_backlog(&self) {
        if !self.has_connected() {
            self.backlog_end.store(BACKLOG_ARRIVING, Ordering::Release);
        }
    }

    /// Notes that the log ends with what the source had when it was opened. Without effect after a later opening.
    pub(super) fn end_backlog(&self) {
        if self.backlog_end().is_none() {
            self.backlog_end.store(self.end().0, Ordering::Release);
        }
    }

    /// Returns the offset after what the source had when it was first opened, or `None` while that arrives. Live delivery
    /// begins there at the earliest.
    pub(super) fn backlog_end(&self) -> Option<Offset> {
        let end = self.backlog_end.load(Ordering::Acquire);
        (end != BACKLOG_ARRIVING).then_some(Offset(end))
    }

    /// Returns true if the source has been connected in this process.
    pub(super) fn has_connected(&self) -> bool {
        self.incarnation.read().connected.is_some()
    }

    /// Returns true if a client got a response before the source's first outcome.
    pub(super) fn has_early_response(&self) -> bool {
        self.has_early_response.load(Ordering::Acquire)
    }

    /// Locks the log for reading.
    pub fn log(&self) -> RwLockReadGuard<'_, EventLog> {
        self.log.read()
    }

    /// Evicts entries that are too old, or beyond a retention that a reload has changed. Needed for quiet streams, since
    /// otherwise only appending evicts.
    pub fn expire(&self, now: Instant) {
        let retention = self.policy.current().retention;
        let is_changed = self.log.read().retention() != retention;
        // In portions: readers and the ingest must not wait for a large log that is cut to a small one.
        while !self.evict_by(|log| log.retain(retention, now, EVICTED_PER_LOCK)) {}
        if is_changed {
            self.notify_persister();
        }
    }

    fn evict_by<T>(&self, evict: impl FnOnce(&mut EventLog) -> T) -> T {
        let mut log = self.log.write();
        let evicted = evict(&mut log);
        if self.latest.load().as_ref().is_some_and(|latest| latest.start < log.start()) {
            self.latest.store(None);
        }
        // The latest batch was not a reader.
        log.sweep_evicted();
        self.memory.update(&log);
        evicted
    }

    /// Returns the latest batch if it is exactly what a reader at this offset lacks. Takes no lock.
    pub(super) fn latest(&self, at: Offset, bytes: usize, events: u64) -> Option<ReadBatch> {
        LatestGuard::acquire(&self.latest, at, bytes, events).map(ReadBatch::from)
    }

    /// Returns the log's entries in a content coding, for a reader that takes it.
    pub fn coded_log(&self, coding: ContentCoding, window: CodingWindow) -> Arc<CodedLog> {
        self.coded.get(coding, window, self.ledger())
    }

    /// Appends all entries under one lock and wakes the readers once.
    pub fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        if self.append(entries) {
            self.waiters.wake_all();
        }
    }

    /// Appends all entries under one lock. Returns true if the caller has to wake the readers.
    pub(super) fn append(&self, entries: impl IntoIterator<Item = Entry>) -> bool {
        let end = {
            let mut log = self.log.write();
            let (start, mut published) = (log.end(), ReadBatchBuilder::default());
            for entry in entries {
                published.add_entry(&entry);
                log.append(entry);
            }
            // Never hand out entries that are already evicted.
            let latest = published.finish_latest(start).filter(|latest| latest.start >= log.start());
            self.latest.store(latest.map(Arc::new));
            // The batch before held some of the entries that were evicted, and was not a reader.
            log.sweep_evicted();
            self.memory.update(&log);
            log.end()
        };
        let mut is_new = false;
        // Readers wait in the waiter set. Only a few tasks watch the progress, for other reasons.
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

    /// Sets the phase of the source. Wakes the readers at its first outcome and at the end.
    pub fn set_phase(&self, phase: Phase) {
        let error = phase.error();
        let (is_live, is_kept) = (phase == Phase::Live, phase.is_kept());
        if is_live {
            self.incarnation.write().connected.get_or_insert_with(tokio::time::Instant::now);
        }
        let is_ended = is_kept || matches!(phase, Phase::Refused(_));
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
        if is_kept {
            self.readers.complete();
            self.notify_persister();
        }
        if let Some(shared) = self.shared.get().filter(|_| is_new) {
            shared.notify_phase();
        }
        self.condition.write().update(is_new, error);
    }

    /// Records the upstream's last error, if any, and whether the stream is stuck.
    pub(super) fn record_failure(&self, error: Option<&str>, is_stuck: bool) {
        let mut condition = self.condition.write();
        condition.is_stuck = is_stuck;
        condition.last_error = error.map(ToOwned::to_owned).or(condition.last_error.take());
    }

    /// Returns a frame that sets `id` and dispatches nothing. Consecutive calls with the same id share one frame.
    pub fn id_frame(&self, id: &EventId) -> Frame {
        self.id_frames.frame(id)
    }

    /// Returns the condition, for the operator.
    pub fn condition(&self) -> Condition {
        self.condition.read().clone()
    }

    /// Sets the reconnection time that the upstream sent, for responses to come. A shorter one than 100 ms counts
    /// as that.
    pub fn advertise_retry(&self, retry: std::time::Duration) {
        self.progress.send_if_modified(|progress| {
            progress.retry = Some(retry.max(MIN_RETRY));
            false
        });
    }

    /// Returns the current progress.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Returns the log's end. Takes no lock.
    pub(super) fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Returns true if nothing more will be appended. Takes no lock.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    /// Returns the time of the upstream's last activity.
    pub fn last_activity(&self) -> &LastActivity {
        &self.last_activity
    }

    /// Returns the rate of the events, which the gateway samples.
    pub fn event_rate(&self) -> &EventRate {
        &self.event_rate
    }
}

mod past;
mod readers;

/// The end of a backlog that has not arrived as a whole.
const BACKLOG_ARRIVING: u64 = u64::MAX;

/// Most entries that are evicted under one lock.
const EVICTED_PER_LOCK: usize = 4096;

/// The start of a log that can be restored. Leaves room for more entries than can ever be stored.
const RESTORABLE_START: Offset = Offset(1 << 40);
