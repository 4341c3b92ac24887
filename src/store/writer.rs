//! The writer's thread: takes queued work, applies all of it in one transaction, and repeats.
//!
//! When the file fails, everything known about it is discarded. Once it is usable again, every open stream is located
//! in it and its missing entries are written. In the meantime streams open without stored events, and closed ones keep
//! the state of their last write. A change of the store's state is logged once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::db::{WriteTxn, catch_panics};
use super::eviction::Eviction;
use super::folder::StoreFault;
use super::inbox::{FindRequest, Inbox, OpenRequest, Request, StreamHandle, Work};
use super::index::StoreIndex;
use super::open_store::OpenStore;
use super::persister::StreamPersister;
use super::{COMMIT_INTERVAL, Settings};
use crate::runtime::moment::Moment;
use crate::runtime::panics::Panics;
use crate::stream::{StoredStream, StreamIdentity};
use crate::telemetry::StoreMetrics;

/// The state of the writer's thread.
pub(super) struct StoreWriter {
    settings: Settings,
    inbox: Arc<Inbox>,
    metrics: Arc<StoreMetrics>,
    panics: Panics,
    /// Whether the last work has been taken.
    is_stopped: bool,
    /// The open store. `None`: unusable; opening it is tried again.
    store: Option<OpenStore>,
    streams: OpenStreams,
    next_open: Instant,
    retry_delay: Duration,
    /// Whether the file was opened again after a failure, and has not proved yet that it accepts writes.
    is_on_probation: bool,
    next_upkeep: Instant,
    /// The earliest time of the next commit.
    next_commit: Instant,
}

/// All open streams.
#[derive(Default)]
struct OpenStreams {
    persisters: HashMap<StreamIdentity, StreamPersister>,
    /// Streams with entries that did not fit into the last commit.
    unfinished: Vec<Arc<StreamHandle>>,
    /// Whether the store was at its size limit at the last commit.
    is_full: bool,
}

/// The work of one transaction.
struct CommitWork<'r> {
    requests: &'r mut VecDeque<Request>,
    changed: &'r [Arc<StreamHandle>],
    max_bytes: u64,
    is_upkeep: bool,
    metrics: &'r StoreMetrics,
}

/// The sender that waits for a stream's stored state, and that state.
type Answer = (tokio::sync::oneshot::Sender<Option<StoredStream>>, Option<StoredStream>);

impl StoreWriter {
    /// Makes a writer. The file is opened when it runs.
    pub(super) fn new(settings: Settings, inbox: Arc<Inbox>, metrics: Arc<StoreMetrics>, panics: Panics) -> Self {
        inbox.set_problem(Some("opening".to_owned()));
        let now = Instant::now();
        let streams = OpenStreams::default();
        let (next_open, next_upkeep, next_commit) = (now, now, now);
        let (store, retry_delay, is_on_probation) = (None, MIN_RETRY_DELAY, false);
        Self {
            settings,
            inbox,
            metrics,
            panics,
            is_stopped: false,
            store,
            streams,
            next_open,
            retry_delay,
            is_on_probation,
            next_upkeep,
            next_commit,
        }
    }

    /// Runs until the last work is done.
    pub(super) fn run(mut self) {
        let panics = self.panics.clone();
        while !self.is_stopped {
            if panics.catch("store", &"writing event logs", || self.run_once()).is_none() {
                self.next_open = Instant::now() + MIN_RETRY_DELAY;
                // The known state of the file may be incomplete.
                panics.catch("store", &"closing the file", || self.abandon_file());
            }
        }
    }

    fn run_once(&mut self) {
        if self.store.is_none() && Instant::now() >= self.next_open {
            self.open();
        }
        let deadline = match self.store {
            Some(_) if self.streams.unfinished.is_empty() => self.next_upkeep,
            Some(_) => Instant::now(),
            None => self.next_open,
        };
        let work = self.inbox.wait_for_work(self.next_commit, deadline);
        self.is_stopped = work.is_last;
        self.process(work);
    }

    /// Gives up the file after a panic of the writer.
    fn abandon_file(&mut self) {
        let fault = StoreFault::Unusable("the writer failed".to_owned());
        match self.store {
            Some(_) => self.close_failed(&fault),
            None => self.mark_unusable(&fault),
        }
    }

    fn open(&mut self) {
        match OpenStore::open(&self.settings, &self.panics) {
            Ok(store) => {
                self.metrics.bytes(store.index.bytes());
                // The open streams may have entries that the file lacks.
                self.streams.unfinished =
                    self.streams.persisters.values().map(|persister| persister.handle.clone()).collect();
                self.store = Some(store);
                // A file on a full disk can be opened, but refuses writes.
                self.is_on_probation = !self.streams.unfinished.is_empty();
                if !self.is_on_probation {
                    self.mark_usable();
                }
            }
            Err(fault) => self.mark_unusable(&fault),
        }
    }

    fn mark_usable(&mut self) {
        self.is_on_probation = false;
        self.retry_delay = MIN_RETRY_DELAY;
        self.metrics.usable(true);
        let Some(store) = &self.store else { return };
        let (streams, bytes) = (store.index.streams(), store.index.bytes());
        info!(path = %self.settings.path.display(), streams, bytes, "store in use");
        self.inbox.set_problem(None);
    }

    fn mark_unusable(&mut self, fault: &StoreFault) {
        self.metrics.error(fault.label());
        self.metrics.usable(false);
        if self.inbox.set_problem(Some(format!("degraded: {fault}"))) {
            let path = self.settings.path.display();
            error!(%path, error = %fault, "store degraded: events are kept in memory only until it is usable again");
        }
        for persister in self.streams.persisters.values_mut() {
            persister.forget_state();
        }
        self.streams.unfinished.clear();
        // The lock may be released at any moment, and checking it is cheap.
        let pause = if matches!(fault, StoreFault::Locked) { MIN_RETRY_DELAY } else { self.retry_delay };
        self.retry_delay = (self.retry_delay * 2).min(MAX_RETRY_DELAY);
        self.next_open = Instant::now() + pause;
    }

    fn process(&mut self, work: Work) {
        let mut requests = VecDeque::from(work.requests);
        let mut changed = std::mem::take(&mut self.streams.unfinished);
        changed.extend(work.changed);
        let is_upkeep = Instant::now() >= self.next_upkeep;
        if is_upkeep {
            self.next_upkeep = Instant::now() + UPKEEP_INTERVAL;
        }
        if let Some(store) = &mut self.store
            && (is_upkeep || !requests.is_empty() || !changed.is_empty())
        {
            self.next_commit = Instant::now() + COMMIT_INTERVAL;
            let (db, index, streams) = (&store.db, &mut store.index, &mut self.streams);
            let (max_bytes, metrics) = (self.settings.bytes, &*self.metrics);
            let work = CommitWork { requests: &mut requests, changed: &changed, max_bytes, is_upkeep, metrics };
            match catch_panics(&self.panics, || db.write(|txn| streams.apply(txn, index, work))) {
                Ok(answers) => {
                    self.metrics.bytes(store.index.bytes());
                    for (reply, stored) in answers {
                        // A receiver that stopped waiting has started afresh, with a seed of its own.
                        let _ = reply.send(stored);
                    }
                    if self.is_on_probation {
                        self.mark_usable();
                    }
                }
                Err(fault) => self.close_failed(&fault),
            }
        }
        if self.store.is_none() {
            self.streams.decline(requests);
        }
        self.answer(work.questions);
    }

    /// Answers questions for the streams of requests, from the index and so without a transaction.
    fn answer(&self, questions: Vec<FindRequest>) {
        let now = Moment::now();
        for FindRequest { key, reply } in questions {
            let found = self.store.as_ref().and_then(|store| store.index.find(&key, now.wall));
            // A receiver that stopped waiting has gone on without it.
            let _ = reply.send(found);
        }
    }

    /// Closes the file after a failure.
    fn close_failed(&mut self, fault: &StoreFault) {
        let store = self.store.take().expect("it has failed just now");
        self.mark_unusable(fault);
        if let StoreFault::Corrupt(what) = fault {
            match store.quarantine(what, &self.panics) {
                Ok(_) => self.next_open = Instant::now(),
                Err(fault) => self.mark_unusable(&fault),
            }
        } else {
            let _ = catch_panics(&self.panics, || {
                drop(store);
                Ok(())
            });
        }
    }
}

impl OpenStreams {
    /// Applies all work in order. If this fails, the remaining requests have not been touched.
    fn apply(
        &mut self,
        txn: &mut WriteTxn<'_>,
        index: &mut StoreIndex,
        work: CommitWork<'_>,
    ) -> Result<Vec<Answer>, StoreFault> {
        let now = Moment::now();
        let mut answers = Vec::new();
        let mut budget = COMMIT_BYTES;
        while let Some(request) = work.requests.pop_front() {
            match request {
                Request::Open(OpenRequest { handle, reply }) => {
                    let persister = self.add(handle);
                    answers.push((reply, persister.restore(txn, index, now)?));
                }
                Request::Close(handle, stream) => {
                    let Some(mut persister) = self.remove(&handle) else { continue };
                    match stream {
                        Some(stream) => drop(persister.write(txn, index, &stream, true, &mut budget, now)?),
                        None => work.metrics.error("behind"),
                    }
                }
            }
        }
        for handle in work.changed {
            // It may have been closed meanwhile, and another stream opened under its key.
            let persister = self.persisters.get_mut(&handle.key).filter(|found| Arc::ptr_eq(&found.handle, handle));
            let Some((persister, stream)) = persister.zip(handle.stream.upgrade()) else { continue };
            if budget == 0 || persister.write(txn, index, &stream, false, &mut budget, now)? {
                self.unfinished.push(handle.clone());
            }
        }
        if work.is_upkeep {
            // A stream without new events is not expired: where it stopped is worth keeping.
            for persister in self.persisters.values_mut().filter(|persister| persister.is_stale(now.wall)) {
                if let Some(stream) = persister.handle.stream.upgrade() {
                    persister.write(txn, index, &stream, false, &mut budget, now)?;
                }
            }
            for key in index.expired(now.wall, |key| self.persisters.contains_key(key)) {
                index.remove(txn, &key)?;
            }
        }
        if index.bytes() > work.max_bytes || index.has_too_many() {
            if !std::mem::replace(&mut self.is_full, true) {
                warn!(bytes = work.max_bytes, "store at its size limit: evicting the oldest events");
            }
            Eviction::new(&mut self.persisters, index, work.max_bytes, work.metrics).run(txn)?;
        } else if index.bytes() < work.max_bytes / 2 {
            self.is_full = false;
        }
        Ok(answers)
    }

    /// Adds a stream. The one that had its key before has been closed.
    fn add(&mut self, handle: Arc<StreamHandle>) -> &mut StreamPersister {
        self.persisters.entry(handle.key).insert_entry(StreamPersister::new(handle)).into_mut()
    }

    /// Removes a stream, unless another one has its key by now.
    fn remove(&mut self, handle: &Arc<StreamHandle>) -> Option<StreamPersister> {
        let found = self.persisters.get(&handle.key)?;
        if Arc::ptr_eq(&found.handle, handle) { self.persisters.remove(&handle.key) } else { None }
    }

    /// Answers requests while the file is unusable, so that no stream waits.
    fn decline(&mut self, requests: VecDeque<Request>) {
        for request in requests {
            match request {
                Request::Open(OpenRequest { handle, reply }) => {
                    self.add(handle);
                    let _ = reply.send(None);
                }
                Request::Close(handle, _) => drop(self.remove(&handle)),
            }
        }
    }
}

/// Approximate maximum bytes of changes in one transaction.
const COMMIT_BYTES: usize = 16 << 20;

/// Interval between two searches for expired streams.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
