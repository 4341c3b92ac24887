//! The writer's thread: takes what there is to do, does all of it in one transaction, and begins again.
//!
//! When the file fails, everything believed about it is dropped; once it can be used again, every open stream is looked up
//! and what it lacks is written. Until then streams open without a past, and closed ones stay as they were last written.
//! Trouble is logged once for each change.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::clock::Moment;
use super::codec::StoreKey;
use super::db::WriteTxn;
use super::db::{OpenStore, StoreIndex, guarded};
use super::folder::StoreFault;
use super::inbox::{Inbox, Opening, Request, Stored, Work};
use super::persister::StreamPersister;
use super::{COMMIT_INTERVAL, Settings};
use crate::runtime::panics::Panics;
use crate::stream::StoredStream;
use crate::telemetry::StoreMetrics;

/// The thread's state.
pub struct StoreWriter {
    settings: Settings,
    inbox: Arc<Inbox>,
    metrics: Arc<StoreMetrics>,
    panics: Panics,
    /// Whether the last work has come.
    is_over: bool,
    /// The open file. `None`: it cannot be used, and is tried again.
    shelf: Option<OpenStore>,
    desk: Desk,
    next_try: Instant,
    retry: Duration,
    /// Whether a file that failed was opened again and has still to show that it takes what it lacks.
    is_on_trial: bool,
    next_upkeep: Instant,
    /// When changes may be written again.
    next_commit: Instant,
}

/// The open streams.
#[derive(Default)]
struct Desk {
    keepers: HashMap<StoreKey, StreamPersister>,
    /// Streams that were not written to their end.
    unfinished: Vec<Arc<Stored>>,
    /// Whether the store was at its bound the last time.
    is_full: bool,
}

/// One transaction's worth of work.
struct Round<'r> {
    requests: &'r mut VecDeque<Request>,
    changed: &'r [Arc<Stored>],
    most_bytes: u64,
    is_upkeep: bool,
    metrics: &'r StoreMetrics,
}

/// Whoever waits for a stream's past, and what it is.
type Answer = (tokio::sync::oneshot::Sender<Option<StoredStream>>, Option<StoredStream>);

impl StoreWriter {
    /// A writer that has not begun.
    pub fn new(settings: Settings, inbox: Arc<Inbox>, metrics: Arc<StoreMetrics>, panics: Panics) -> Self {
        inbox.say(Some("is being opened".to_owned()));
        let now = Instant::now();
        let desk = Desk::default();
        let (next_try, next_upkeep, next_commit) = (now, now, now);
        let (shelf, retry, is_on_trial) = (None, FIRST_RETRY, false);
        Self {
            settings,
            inbox,
            metrics,
            panics,
            is_over: false,
            shelf,
            desk,
            next_try,
            retry,
            is_on_trial,
            next_upkeep,
            next_commit,
        }
    }

    /// Works until there is no more work to come.
    pub fn run(mut self) {
        let panics = self.panics.clone();
        while !self.is_over {
            if panics.catch("store", &"writing event logs", || self.turn()).is_none() {
                self.next_try = Instant::now() + FIRST_RETRY;
                // What is believed about the file may be half of the truth.
                panics.catch("store", &"giving up the file", || self.give_up());
            }
        }
    }

    fn turn(&mut self) {
        if self.shelf.is_none() && Instant::now() >= self.next_try {
            self.open();
        }
        let deadline = match self.shelf {
            Some(_) if self.desk.unfinished.is_empty() => self.next_upkeep,
            Some(_) => Instant::now(),
            None => self.next_try,
        };
        let work = self.inbox.take(self.next_commit, deadline);
        self.is_over = work.is_last;
        self.serve(work);
    }

    /// The writer failed, and not the file.
    fn give_up(&mut self) {
        let fault = StoreFault::Unusable("its writer failed".to_owned());
        match self.shelf {
            Some(_) => self.lose(&fault),
            None => self.failed(&fault),
        }
    }

    fn open(&mut self) {
        match OpenStore::open(&self.settings, &self.panics) {
            Ok(shelf) => {
                self.metrics.bytes(shelf.books.bytes());
                // What the open streams lack.
                self.desk.unfinished = self.desk.keepers.values().map(|keeper| keeper.stored.clone()).collect();
                self.shelf = Some(shelf);
                // A full disk lets a file be opened, and refuses what is written then.
                self.is_on_trial = !self.desk.unfinished.is_empty();
                if !self.is_on_trial {
                    self.recovered();
                }
            }
            Err(fault) => self.failed(&fault),
        }
    }

    fn recovered(&mut self) {
        self.is_on_trial = false;
        self.retry = FIRST_RETRY;
        self.metrics.usable(true);
        let Some(shelf) = &self.shelf else { return };
        let (streams, bytes) = (shelf.books.streams(), shelf.books.bytes());
        info!(path = %self.settings.path.display(), streams, bytes, "store in use");
        self.inbox.say(None);
    }

    fn failed(&mut self, fault: &StoreFault) {
        self.metrics.error(fault.label());
        self.metrics.usable(false);
        if self.inbox.say(Some(format!("degraded: {fault}"))) {
            let path = self.settings.path.display();
            error!(%path, error = %fault, "store degraded: event logs are in memory alone until it can be used");
        }
        for keeper in self.desk.keepers.values_mut() {
            keeper.forget_place();
        }
        self.desk.unfinished.clear();
        // Whoever holds the lock may let go of it at any moment, and looking costs nothing.
        let pause = if matches!(fault, StoreFault::Locked) { FIRST_RETRY } else { self.retry };
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        self.next_try = Instant::now() + pause;
    }

    fn serve(&mut self, work: Work) {
        let mut requests = VecDeque::from(work.requests);
        let mut changed = std::mem::take(&mut self.desk.unfinished);
        changed.extend(work.changed);
        let is_upkeep = Instant::now() >= self.next_upkeep;
        if is_upkeep {
            self.next_upkeep = Instant::now() + UPKEEP_INTERVAL;
        }
        if let Some(shelf) = &mut self.shelf
            && (is_upkeep || !requests.is_empty() || !changed.is_empty())
        {
            self.next_commit = Instant::now() + COMMIT_INTERVAL;
            let (ledger, books, desk) = (&shelf.ledger, &mut shelf.books, &mut self.desk);
            let (most_bytes, metrics) = (self.settings.bytes, &*self.metrics);
            let round = Round { requests: &mut requests, changed: &changed, most_bytes, is_upkeep, metrics };
            match guarded(&self.panics, || ledger.write(|page| desk.work(page, books, round))) {
                Ok(answers) => {
                    self.metrics.bytes(shelf.books.bytes());
                    for (asker, kept) in answers {
                        // Who does not wait any more has begun anew, with a seed of its own.
                        let _ = asker.send(kept);
                    }
                    if self.is_on_trial {
                        self.recovered();
                    }
                }
                Err(fault) => self.lose(&fault),
            }
        }
        if self.shelf.is_none() {
            self.desk.decline(requests);
        }
    }

    /// The file failed.
    fn lose(&mut self, fault: &StoreFault) {
        let shelf = self.shelf.take().expect("it has just failed");
        self.failed(fault);
        if let StoreFault::Corrupt(what) = fault {
            match shelf.condemn(what, &self.panics) {
                Ok(_) => self.next_try = Instant::now(),
                Err(fault) => self.failed(&fault),
            }
        } else {
            let _ = guarded(&self.panics, || {
                drop(shelf);
                Ok(())
            });
        }
    }
}

impl Desk {
    /// Does everything in order. What is left of the requests when it fails was not looked at.
    fn work(
        &mut self,
        page: &mut WriteTxn<'_>,
        books: &mut StoreIndex,
        round: Round<'_>,
    ) -> Result<Vec<Answer>, StoreFault> {
        let now = Moment::now();
        let mut answers = Vec::new();
        let mut room = ROUND_BYTES;
        while let Some(request) = round.requests.pop_front() {
            match request {
                Request::Open(Opening { stored, answer }) => {
                    let key = stored.key;
                    if let Some(mut before) = self.keepers.insert(key, StreamPersister::new(stored))
                        && let Some(stream) = before.stored.stream.upgrade()
                    {
                        // Its end is still to be told, but its place has been taken: it counts as cut off.
                        let mut all = usize::MAX;
                        while before.write(page, books, &stream, false, &mut all, now)? {}
                    }
                    let keeper = self.keepers.get_mut(&key).expect("it has just been put there");
                    answers.push((answer, keeper.restore(page, books, now)?));
                }
                Request::Adopt(stored) => self.adopt(stored),
                Request::Close(stored, stream) => {
                    if !self.is_current(&stored) {
                        continue;
                    }
                    let mut keeper = self.keepers.remove(&stored.key).expect("it is the current one");
                    match stream {
                        Some(stream) => drop(keeper.write(page, books, &stream, true, &mut room, now)?),
                        None => round.metrics.error("behind"),
                    }
                }
            }
        }
        for stored in round.changed {
            if !self.is_current(stored) {
                continue;
            }
            let keeper = self.keepers.get_mut(&stored.key).expect("it is the current one");
            let Some(stream) = stored.stream.upgrade() else { continue };
            if room == 0 || keeper.write(page, books, &stream, false, &mut room, now)? {
                self.unfinished.push(stored.clone());
            }
        }
        if round.is_upkeep {
            // A stream that is only quiet is not over: where it stopped is worth keeping.
            for keeper in self.keepers.values_mut().filter(|keeper| keeper.is_stale(now.wall)) {
                if let Some(stream) = keeper.stored.stream.upgrade() {
                    keeper.write(page, books, &stream, false, &mut room, now)?;
                }
            }
            for key in books.over(now.wall, |key| self.keepers.contains_key(key)) {
                books.forget(page, &key)?;
            }
        }
        if books.bytes() > round.most_bytes || books.has_too_many() {
            self.give_up(page, books, &round)?;
        } else if books.bytes() < round.most_bytes / 2 {
            self.is_full = false;
        }
        Ok(answers)
    }

    /// What another stream has put in its place in the file is of another life, also if it went on with what this one had
    /// left: so nothing is known of a place, and one that is not known is not gone on with.
    fn adopt(&mut self, stored: Arc<Stored>) {
        self.unfinished.push(stored.clone());
        self.keepers.insert(stored.key, StreamPersister::new(stored));
    }

    fn is_current(&self, stored: &Arc<Stored>) -> bool {
        self.keepers.get(&stored.key).is_some_and(|keeper| Arc::ptr_eq(&keeper.stored, stored))
    }

    /// Makes room: streams that are not open go first, the longest untouched before others; then the oldest events of
    /// those that are. A little more than is needed, so that it is not done for each event.
    fn give_up(
        &mut self,
        page: &mut WriteTxn<'_>,
        books: &mut StoreIndex,
        round: &Round<'_>,
    ) -> Result<(), StoreFault> {
        let enough = round.most_bytes / 16 * 15;
        if !self.is_full {
            self.is_full = true;
            warn!(bytes = round.most_bytes, "store at its bound: what is oldest in it is given up");
        }
        for key in books.untouched(|key| self.keepers.contains_key(key)) {
            if books.bytes() <= enough && !books.has_too_many() {
                return Ok(());
            }
            books.forget(page, &key)?;
            round.metrics.given_up("stream");
        }
        let mut oldest: BinaryHeap<_> =
            self.keepers.values().filter_map(|keeper| Some(Reverse((keeper.oldest()?, keeper.stored.key)))).collect();
        while books.bytes() > enough
            && let Some(Reverse((_, key))) = oldest.pop()
        {
            let keeper = self.keepers.get_mut(&key).expect("it was among them");
            keeper.give_up_oldest(page, books)?;
            round.metrics.given_up("segment");
            oldest.extend(keeper.oldest().map(|date| Reverse((date, key))));
        }
        Ok(())
    }

    /// What happens to requests while the file cannot be used: whoever asks is not kept waiting.
    fn decline(&mut self, requests: VecDeque<Request>) {
        for request in requests {
            match request {
                Request::Open(Opening { stored, answer }) => {
                    self.keepers.insert(stored.key, StreamPersister::new(stored));
                    let _ = answer.send(None);
                }
                Request::Adopt(stored) => self.adopt(stored),
                Request::Close(stored, _) if self.is_current(&stored) => drop(self.keepers.remove(&stored.key)),
                Request::Close(..) => {}
            }
        }
    }
}

/// Most bytes of changes in one transaction, about.
const ROUND_BYTES: usize = 16 << 20;

/// How often streams are looked for that need not be kept any more.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
