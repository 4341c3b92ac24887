//! An owner's records: what its ingest accepts is stored first, one record at a time.
//!
//! An answer other than an acknowledgement means *look*, never *fenced*: the newest record in the engine tells whether
//! the record was stored, can be sent again, or something else is in its place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::context::moment;
use super::engine::{AppendError, EngineErrorKind};
use super::member::Member;
use super::observer::ResyncCause;
use super::record::{ENTRY_BYTES, HEAD_BYTES, LogRecord, MAX_RECORD, Owner, RecordHead, ReleaseReason};
use crate::stream::{Commit, Entry, EventStream, Fenced, LogSnapshot};

/// The records of one term of one owner.
pub(super) struct Owning {
    member: Arc<Member>,
    stream: Arc<EventStream>,
    /// The offset in the stream's log of the life's first entry. The subtraction wraps: the start may have been before
    /// the log's.
    base: u64,
    /// The entries of the last record, which the ingest may not have appended yet. Never held across an await.
    last: Mutex<Vec<Entry>>,
    /// The instant of the last record. Never held across an await.
    stored_at: Mutex<Instant>,
    /// The entries that the mutant which tells too early has told and not stored.
    #[cfg(test)]
    told: Mutex<Option<(LogSnapshot, Change)>>,
}

/// The changes that a record makes besides its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Live,
    Complete,
    Broken,
}

impl Owning {
    /// Begins a term. The stream's log must be at the end of the member's place.
    pub(super) fn new(member: Arc<Member>, stream: Arc<EventStream>) -> Self {
        let base = stream.log().end().0.wrapping_sub(member.place().end());
        Self {
            member,
            stream,
            base,
            last: Mutex::default(),
            stored_at: Mutex::new(Instant::now()),
            #[cfg(test)]
            told: Mutex::default(),
        }
    }

    /// Returns the time of the last record.
    pub(super) fn stored_at(&self) -> Instant {
        *self.stored_at.lock()
    }

    /// Returns true if the stream's log has all entries up to this one of the life.
    pub(super) fn has_appended(&self, end: u64) -> bool {
        let appended = self.stream.log().end().0.wrapping_sub(self.base);
        appended >= end
    }

    /// Returns the entries that were stored but not appended. For after the ingest has ended.
    pub(super) fn take_unappended(&self) -> Vec<Entry> {
        let appended = self.stream.log().end().0.wrapping_sub(self.base);
        let missing = self.member.place().end().saturating_sub(appended);
        let mut last = std::mem::take(&mut *self.last.lock());
        let known = last.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        last.split_off(known)
    }

    /// Stores a record without entries.
    ///
    /// # Errors
    /// Something else owns the stream.
    pub(super) async fn repeat(&self) -> Result<(), Fenced> {
        self.store(Vec::new(), Change::Nothing).await
    }

    #[cfg(not(test))]
    async fn store(&self, entries: Vec<Entry>, change: Change) -> Result<(), Fenced> {
        self.store_snapshot(LogSnapshot { entries, ..state_at_end(&self.stream) }, change).await
    }

    /// As in the gateway, except for the mutant that stores what came before only when more comes.
    #[cfg(test)]
    async fn store(&self, entries: Vec<Entry>, change: Change) -> Result<(), Fenced> {
        let snapshot = LogSnapshot { entries, ..state_at_end(&self.stream) };
        if self.member.context().mutant != super::fake::Mutant::ToldBeforeStored {
            return self.store_snapshot(snapshot, change).await;
        }
        let told = self.told.lock().replace((snapshot, change));
        match told {
            Some((before, change)) => self.store_snapshot(before, change).await,
            None => Ok(()),
        }
    }

    async fn store_snapshot(&self, snapshot: LogSnapshot, change: Change) -> Result<(), Fenced> {
        let begun = Instant::now();
        let place = self.member.place();
        let Some(before) = place.head.clone() else { return Err(Fenced) };
        let context = self.member.context();
        let moment = moment();
        let head = RecordHead {
            mark: context.random.mark(),
            prev: before.mark,
            owner: match change {
                Change::Complete => Owner::Released(ReleaseReason::Complete),
                Change::Broken => Owner::Released(ReleaseReason::Broken),
                Change::Nothing | Change::Live => Owner::Node(context.nodes.me().to_owned()),
            },
            first: before.end(),
            count: snapshot.entries.len() as u64,
            retry: self.stream.progress().retry,
            is_complete: change == Change::Complete,
            has_been_live: before.has_been_live || change == Change::Live || !snapshot.entries.is_empty(),
            written: moment.wall,
            ..before
        };
        let payload = head.encode(&context.keys, self.member.log_id(), &snapshot, moment);
        self.member.set_in_flight(true);
        let stored = self.append(place.sequence, place.mark(), head.mark, payload).await;
        self.member.set_in_flight(false);
        let sequence = stored?;
        *self.last.lock() = snapshot.entries;
        *self.stored_at.lock() = Instant::now();
        self.member.advance(sequence, head);
        context.written.record(*self.member.log_id(), sequence);
        context.observer.committed(self.member.route(), begun.elapsed());
        Ok(())
    }

    /// Appends a record with this mark after the one with the mark `before`, until the log shows an outcome.
    async fn append(&self, place: u64, before: u64, mark: u64, payload: Bytes) -> Result<u64, Fenced> {
        let (context, log) = (self.member.context(), self.member.log_id());
        let mut after = place;
        let mut behind_since: Option<Instant> = None;
        loop {
            let is_refused = match context.engine.append(log, after, payload.clone()).await {
                Ok(sequence) => return Ok(sequence),
                Err(AppendError::Refused) => true,
                Err(AppendError::Unknown(error)) => {
                    context.count_error(&error);
                    context.observer.resynced(ResyncCause::Append);
                    if error.kind == EngineErrorKind::TooLarge {
                        // It would be so again. The next term knows the limit: it splits the record, or leaves the
                        // event out and tells a gap.
                        let stream = self.stream.key().excerpt();
                        warn!(%stream, bytes = payload.len(), %error, "the cluster's engine takes no record of this size");
                        sleep(TOO_LARGE_PAUSE).await;
                        return Err(Fenced);
                    }
                    false
                }
            };
            // Nothing is known about it. The log knows.
            after = loop {
                match context.engine.newest(log).await {
                    Err(error) => context.count_error(&error),
                    // It was evicted, or lost. This gateway has owned the log without a break, so it repeats its state.
                    Ok(None) => break 0,
                    Ok(Some(newest)) if newest.sequence < place => {
                        // A leader that was deposed and does not know it, or one that has lost what it acknowledged.
                        let since = *behind_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= BEHIND_PATIENCE {
                            return Err(Fenced);
                        }
                    }
                    Ok(Some(newest)) => {
                        let record = LogRecord::decode(&context.keys, log, &newest.payload, moment());
                        let record = record.map_err(|error| {
                            context.count_unreadable(log, error);
                            Fenced
                        })?;
                        if record.head.mark == mark {
                            return Ok(newest.sequence);
                        }
                        if newest.sequence != place || record.head.mark != before {
                            return Err(Fenced);
                        }
                        break place;
                    }
                }
                sleep(PAUSE).await;
            };
            if is_refused {
                // The engine's note that a record is under way was not cleared yet.
                sleep(PAUSE / 5).await;
            }
        }
    }

    /// Returns how many of the entries fit into one record, at least 1.
    fn fitting(&self, entries: &[Entry]) -> usize {
        let most = MAX_RECORD.min(self.member.context().engine.max_record());
        let ids = {
            let log = self.stream.log();
            log.id_at(log.end()).as_str().len() + log.source_id_at(log.end()).as_str().len()
        };
        let mut bytes = HEAD_BYTES + ids;
        let fitting = entries.iter().take_while(|entry| {
            bytes += entry_bytes(entry);
            bytes <= most
        });
        fitting.count().max(1)
    }
}

impl Commit for Owning {
    fn commit<'c>(&'c self, entries: &'c [Entry]) -> BoxFuture<'c, Result<usize, Fenced>> {
        async move {
            let count = self.fitting(entries);
            self.store(entries[..count].to_vec(), Change::Nothing).await?;
            Ok(count)
        }
        .boxed()
    }

    fn opened(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        async move {
            // A later owner must know that the upstream may have been read before.
            match self.member.place().has_been_live() {
                true => Ok(()),
                false => self.store(Vec::new(), Change::Live).await,
            }
        }
        .boxed()
    }

    fn completed(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        self.store(Vec::new(), Change::Complete).boxed()
    }

    fn broken(&self) -> BoxFuture<'_, Result<(), Fenced>> {
        self.store(Vec::new(), Change::Broken).boxed()
    }

    fn max_entry(&self) -> usize {
        self.member.context().engine.max_record().saturating_sub(HEAD_BYTES + ENTRY_BYTES + IDS_BEFORE)
    }
}

/// Returns the state at the end of the stream's log, without entries.
pub(super) fn state_at_end(stream: &EventStream) -> LogSnapshot {
    let log = stream.log();
    let end = log.end();
    LogSnapshot {
        entries: Vec::new(),
        events_before: log.events_until(end),
        id_before: log.id_at(end).clone(),
        source_id_before: log.source_id_at(end).clone(),
        is_exact: log.is_exact_at(end),
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_BYTES + entry.frame.len() + entry.id.as_str().len() + entry.source_id.as_str().len()
}

/// Room for the two ids in front of a record's entries.
const IDS_BEFORE: usize = 16 << 10;

/// The pause after a record that the engine does not take.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two looks at the engine.
const PAUSE: Duration = Duration::from_millis(50);

/// The time for which an engine may have an older record than the one it acknowledged.
pub(super) const BEHIND_PATIENCE: Duration = Duration::from_secs(5);
