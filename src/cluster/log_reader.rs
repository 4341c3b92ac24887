//! Reads the shared log into the stream's own: everything at first, and then what follows.
//!
//! Only a record that continues the last one is applied, verbatim and in order. Nothing is skipped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::moment;
use super::engine::{EngineError, LiveRecord, Stored};
use super::member::{Member, Place};
use super::observer::ResetCause;
use super::owning::BEHIND_PATIENCE;
use super::record::{LogRecord, RecordError};
use crate::stream::{EventStream, LogSnapshot, SharedFeed, SharedLog, StoredStream};

/// Reads the shared log of one stream.
pub(super) struct LogReader {
    /// The stream's feed.
    pub feed: SharedFeed,
    member: Arc<Member>,
    /// The time since which the engine has less than it had acknowledged.
    behind_since: Option<tokio::time::Instant>,
    /// The time since which another gateway's records are followed.
    followed_since: Option<tokio::time::Instant>,
    /// The highest sequence that the present subscription has brought.
    newest_live: u64,
}

/// The outcome of a look at the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The stream's log has everything that the engine had.
    Current,
    /// The engine has more than could be read, or less than it had. Look again.
    Again,
    /// The log does not continue what the stream has.
    Reset(ResetCause),
    /// The newest record is foreign, damaged or of a later version.
    Unreadable(RecordError),
}

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The stream's log has it.
    Yes,
    /// Records before it are missing, its sequence was used before, or it cannot be read.
    Hole,
    /// It does not continue what the stream has.
    Break(ResetCause),
}

impl LogReader {
    /// Begins with nothing.
    pub(super) fn new(feed: SharedFeed, member: Arc<Member>) -> Self {
        Self { feed, member, behind_since: None, followed_since: None, newest_live: 0 }
    }

    /// Returns the stream.
    pub(super) fn stream(&self) -> &Arc<EventStream> {
        self.feed.stream()
    }

    /// Returns the time of the first call, when the stream began to follow another gateway.
    pub(super) fn followed_since(&mut self) -> tokio::time::Instant {
        *self.followed_since.get_or_insert_with(tokio::time::Instant::now)
    }

    /// Returns true if somebody reads the stream here, or it is to be read without readers.
    pub(super) fn is_wanted(&self) -> bool {
        self.feed.is_always_open() || self.stream().subscribers() > 0
    }

    /// Reads what the engine has and the stream has not.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    pub(super) async fn look(&mut self) -> Result<Look, EngineError> {
        let engine = self.member.context().engine.clone();
        let newest = engine.newest(self.member.log_id()).await?;
        let place = self.member.place();
        let Some(newest) = newest else {
            return Ok(if place.sequence == 0 { Look::Current } else { self.behind(ResetCause::Gone) });
        };
        if newest.sequence < place.sequence {
            return Ok(self.behind(ResetCause::Gone));
        }
        self.behind_since = None;
        let record = match self.decode(&newest) {
            Ok(record) => record,
            Err(error) => return Ok(Look::Unreadable(error)),
        };
        if newest.sequence == place.sequence {
            let is_same = record.head.mark == place.mark() || self.member.context().ignores_marks();
            return Ok(if is_same { Look::Current } else { Look::Reset(ResetCause::Gone) });
        }
        // Readers that were judged by an empty log must get all that follows.
        match self.member.has_joined() {
            false => self.begin(newest.sequence).await,
            true => self.catch_up(newest.sequence).await,
        }
    }

    /// Notes that records come with a new subscription.
    pub(super) fn subscribed(&mut self) {
        self.newest_live = 0;
    }

    /// Applies a record as it is stored.
    pub(super) async fn apply_live(&mut self, live: &LiveRecord) -> Applied {
        let place = self.member.place();
        // Records come in their order. An engine that lost what it had acknowledged uses sequences again.
        let newest_before = std::mem::replace(&mut self.newest_live, live.record.sequence);
        if live.record.sequence <= newest_before {
            return Applied::Hole;
        }
        if live.record.sequence <= place.sequence {
            return if self.was_read(&place, &live.record) { Applied::Yes } else { Applied::Hole };
        }
        if live.previous != place.sequence {
            return Applied::Hole;
        }
        match self.decode(&live.record) {
            Ok(record) => self.apply(live.record.sequence, record).await,
            Err(_) => Applied::Hole,
        }
    }

    /// Returns true if a record at or below the place was read before it came. One that cannot be told from a record that uses
    /// the sequence again costs a look.
    fn was_read(&self, place: &Place, stored: &Stored) -> bool {
        if self.member.context().ignores_marks() {
            return true;
        }
        let (Ok(LogRecord { head, .. }), Some(last)) = (self.decode(stored), &place.head) else { return false };
        match stored.sequence == place.sequence {
            true => head.mark == last.mark,
            false => head.may_precede(last),
        }
    }

    /// Applies the records after the stream's place up to this sequence.
    async fn catch_up(&mut self, until: u64) -> Result<Look, EngineError> {
        let engine = self.member.context().engine.clone();
        loop {
            let from = self.member.place().sequence + 1;
            if from > until {
                return Ok(Look::Current);
            }
            let records = engine.since(self.member.log_id(), from).await?;
            if records.is_empty() {
                return Ok(Look::Again);
            }
            for stored in &records {
                let record = match self.decode(stored) {
                    Ok(record) => record,
                    Err(error) => return Ok(Look::Unreadable(error)),
                };
                match self.apply(stored.sequence, record).await {
                    Applied::Yes => {}
                    Applied::Hole => return Ok(Look::Again),
                    Applied::Break(cause) => return Ok(Look::Reset(cause)),
                }
            }
        }
    }

    /// Takes over what is there of the newest life, up to this sequence at least.
    async fn begin(&mut self, until: u64) -> Result<Look, EngineError> {
        let engine = self.member.context().engine.clone();
        let most = self.stream().policy().current().retention.bytes.saturating_mul(2).saturating_add(SPARE_BYTES);
        let (mut records, mut bytes, mut from) = (VecDeque::<Stored>::new(), 0, 1);
        while from <= until {
            let page = engine.since(self.member.log_id(), from).await?;
            let Some(last) = page.last() else { return Ok(Look::Again) };
            from = last.sequence + 1;
            for stored in page {
                bytes += stored.payload.len();
                records.push_back(stored);
                // The stream's log would evict them.
                while bytes > most && records.len() > 1 {
                    bytes -= records.pop_front().map_or(0, |evicted| evicted.payload.len());
                }
            }
        }
        // From the newest one back as far as the chain goes.
        let mut chain: VecDeque<LogRecord> = VecDeque::new();
        let Some(sequence) = records.back().map(|newest| newest.sequence) else { return Ok(Look::Again) };
        for stored in records.iter().rev() {
            match self.decode(stored) {
                Ok(record) if chain.front().is_none_or(|next| next.follows(&record.head)) => chain.push_front(record),
                Err(error) if chain.is_empty() => return Ok(Look::Unreadable(error)),
                Ok(_) | Err(_) => break,
            }
        }
        self.restore(sequence, chain);
        Ok(Look::Current)
    }

    /// Restores the stream's log from a chain of records.
    fn restore(&mut self, sequence: u64, chain: VecDeque<LogRecord>) {
        let Some(head) = chain.back().map(|newest| newest.head.clone()) else { return };
        let stream = self.stream();
        let place = Place { sequence, head: Some(head.clone()) };
        if place.has_been_live() {
            let mut chain = chain.into_iter().map(|record| record.entries);
            let mut snapshot: LogSnapshot = chain.next().unwrap_or_default();
            chain.for_each(|following| snapshot.entries.extend(following.entries));
            let stored = StoredStream {
                snapshot,
                seed: head.seed,
                epoch: head.epoch.clone(),
                retry: head.retry,
                // Nobody was told what is not stored.
                is_clean: true,
                complete_for: None,
                is_stopped: false,
            };
            stream.restore(stored, Instant::now());
        } else {
            stream.begin_term(head.seed, &head.epoch, false);
        }
        self.member.advance(sequence, head);
    }

    async fn apply(&mut self, sequence: u64, record: LogRecord) -> Applied {
        let place = self.member.place();
        if sequence <= place.sequence {
            return Applied::Yes;
        }
        let follows = match &place.head {
            Some(before) if self.member.context().ignores_marks() => record.head.first == before.end(),
            Some(before) => record.follows(before),
            // An empty log was found before, and this is its first record.
            None => record.head.prev == 0 && record.head.first == 0,
        };
        if !follows {
            let is_life = place.head.as_ref().is_some_and(|before| before.life == record.head.life);
            return Applied::Break(if is_life { ResetCause::Chain } else { ResetCause::Life });
        }
        let LogRecord { head, entries } = record;
        let is_new_term = place.head.as_ref().is_none_or(|before| {
            before.epoch != head.epoch || before.seed != head.seed || before.has_been_live != head.has_been_live
        });
        if is_new_term {
            self.stream().begin_term(head.seed, &head.epoch, head.has_been_live);
        }
        if let Some(retry) = head.retry {
            self.stream().advertise_retry(retry);
        }
        let written = head.written;
        if !entries.entries.is_empty() {
            self.feed.append(entries.entries).await;
        }
        self.member.advance(sequence, head);
        let behind = Duration::from_millis(moment().wall.saturating_sub(written));
        self.member.context().observer.followed(self.member.route(), behind);
        Applied::Yes
    }

    /// Notes that the engine has less than it had acknowledged. It may be a leader that was deposed and does not know it.
    fn behind(&mut self, cause: ResetCause) -> Look {
        let since = *self.behind_since.get_or_insert_with(tokio::time::Instant::now);
        if since.elapsed() >= BEHIND_PATIENCE { Look::Reset(cause) } else { Look::Again }
    }

    fn decode(&self, stored: &Stored) -> Result<LogRecord, RecordError> {
        let context = self.member.context();
        let decoded = LogRecord::decode(&context.keys, self.member.log_id(), &stored.payload, moment());
        decoded.inspect_err(|error| context.count_unreadable(self.member.log_id(), *error))
    }
}

/// The bytes that are read at first besides twice the bound of the stream's log.
const SPARE_BYTES: usize = 1 << 20;
