//! One reader of a stream: an offset in its log, and a registered waker.
//!
//! A subscription holds no events and no queue. A slow reader costs nothing until it falls off the log. This file does
//! not know how events are delivered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::backlog::{Backlog, Continuation};
use super::reader_info::Client;
use super::waiter_group::WaiterHandle;
use crate::sse::EventId;
use crate::stream::batch::{BatchOffsets, ReadBatch, ReadBatchBuilder};
use crate::stream::event_stream::EventStream;
use crate::stream::feed::OpenError;
use crate::stream::log::{Gap, IdLookup, Lagged, Offset, OnGap, ResumeVerdict, Start};
use crate::stream::progress::{Incompletion, Phase, Progress};

/// One reader of a stream.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<EventStream>,
    progress: watch::Receiver<Progress>,
    /// The registration of its waker and its position.
    waiter: WaiterHandle,
    next: Offset,
    /// The number of events before `next`, from the beginning of the stream. Lag is measured against it.
    events_read: u64,
    /// True for a reader that started live before the source was connected: it skips what the source has then.
    awaits_source: bool,
    /// Read before the log. Boxed, because few readers have one.
    backlog: Option<Box<Backlog>>,
}

/// The reason why a reader was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// There are entries to read.
    Entries,
    /// The stream is complete, and everything has been read.
    Complete,
    /// The stream ended before its end, and everything has been read.
    Incomplete(Incompletion),
    /// The stream was refused and is being removed. A client that reconnects gets the reason.
    Refused,
}

impl Subscription {
    /// Subscribes at the log's end.
    pub fn new(stream: &Arc<EventStream>) -> Self {
        // Register before reading the log's end, or an append in between would wake nobody.
        let progress = stream.add_reader();
        let (next, events_read) = {
            let log = stream.log();
            (log.end(), log.events_until(log.end()))
        };
        let waiter = stream.waiters().register(next, events_read);
        Self { stream: stream.clone(), progress, waiter, next, events_read, awaits_source: false, backlog: None }
    }

    /// Sets the client's details, for the operator.
    pub fn set_client(&self, client: Client) {
        self.waiter.set_client(client);
    }

    /// Returns the registration, which also carries the wake flag of the reader's task.
    pub fn waiter(&self) -> &WaiterHandle {
        &self.waiter
    }

    /// Returns the stream.
    pub fn stream(&self) -> &Arc<EventStream> {
        &self.stream
    }

    /// Waits for the source's first outcome. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As for [`Self::poll_opened`].
    pub async fn opened(&mut self, is_refused_when_down: bool) -> Result<(), Arc<OpenError>> {
        poll_fn(|cx| self.poll_opened(cx, is_refused_when_down)).await
    }

    /// Completes with the source's first outcome. Once a stream has been live, every failure means that it is down at
    /// the moment. Only clients that open a stream get the upstream's refusal.
    ///
    /// # Errors
    ///
    /// The upstream's refusal or, if `is_refused_when_down`, the error that keeps the stream down.
    pub fn poll_opened(
        &mut self,
        cx: &mut Context<'_>,
        is_refused_when_down: bool,
    ) -> Poll<Result<(), Arc<OpenError>>> {
        // Register before reading the phase, or a change in between would wake nobody.
        self.waiter.register_waker(cx.waker());
        let has_been_live = self.stream.has_been_live();
        Poll::Ready(match &self.progress.borrow().phase {
            Phase::Opening => return Poll::Pending,
            Phase::Live | Phase::Complete | Phase::Incomplete(_) => Ok(()),
            Phase::Refused(error) => Err(error.clone()),
            Phase::Retrying(Some(error)) if !has_been_live && !error.is_down() => Err(error.clone()),
            Phase::Retrying(_) if !is_refused_when_down => Ok(()),
            Phase::Retrying(Some(error)) if error.is_down() => Err(error.clone()),
            Phase::Retrying(Some(error)) => Err(Arc::new(OpenError::Unreachable(error.to_string()))),
            // The last attempt succeeded and the response may have ended as intended, so the stream is not down.
            Phase::Retrying(None) => Ok(()),
        })
    }

    /// Returns true unless the log is shared with other gateways and has not been read yet.
    pub fn has_joined(&self) -> bool {
        self.stream.shared().is_none_or(|shared| shared.has_joined())
    }

    /// Completes when `id` is in the log or can no longer appear. Must be polled again from time to time, since that
    /// also depends on the time.
    ///
    /// Only a stream restored after an unclean shutdown may still receive ids that clients already hold: they were not
    /// stored, and the upstream sends them again when it continues after the last stored id.
    pub fn poll_for_id(&mut self, cx: &mut Context<'_>, id: &str) -> Poll<()> {
        self.waiter.register_waker(cx.waker());
        let is_over = self.stream.is_ended();
        if is_over || !self.stream.may_reappear(id) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Moves to the starting point of a client without an id. With [`Start::Live`], a reader that opened the stream
    /// keeps what has arrived since, except what the source had before.
    pub fn start_at(&mut self, start: Start) -> ResumeVerdict {
        let log = self.stream.log();
        let at = match start {
            Start::Live => {
                self.awaits_source = !self.stream.has_connected();
                self.next = self.next.max(self.stream.backlog_end().unwrap_or_default());
                self.events_read = log.events_until(self.next);
                self.waiter.set_position(self.next, self.events_read);
                return ResumeVerdict::Live;
            }
            Start::Oldest => log.start(),
            Start::Last(count) => log.start_of_newest(count),
        };
        self.next = at;
        self.events_read = log.events_until(at);
        self.waiter.set_position(self.next, self.events_read);
        ResumeVerdict::Replay { missed: log.events_after(at) }
    }

    /// Returns true if the log has the entries after this id.
    pub fn can_resume(&self, id: &str) -> bool {
        matches!(self.stream.log().lookup(id), IdLookup::Found(_))
    }

    /// Reads the backlog first and then continues in the log.
    pub fn resume_from_backlog(&mut self, backlog: Backlog) -> ResumeVerdict {
        let Continuation { events, offset, events_read } = backlog.continuation();
        (self.next, self.events_read) = (offset, events_read);
        self.backlog = Some(Box::new(backlog));
        self.skip_duplicates();
        let log = self.stream.log();
        let missed = events + log.events_until(log.end()).saturating_sub(self.events_read);
        log.gap_after(self.next).map_or(ResumeVerdict::Resumed { missed }, ResumeVerdict::Gap)
    }

    /// Moves to the entry after `id`, or to the starting point that `on_gap` selects if the id is not in the log.
    /// Across a break of continuity the verdict is a gap, but the reader still continues after its id.
    pub fn resume(&mut self, id: &str, on_gap: OnGap) -> ResumeVerdict {
        let log = self.stream.log();
        let gap = match log.lookup(id) {
            IdLookup::Found(at) => {
                self.next = at;
                self.events_read = log.events_until(at);
                self.waiter.set_position(self.next, self.events_read);
                let missed = log.events_after(at);
                return log.gap_after(at).map_or(ResumeVerdict::Resumed { missed }, ResumeVerdict::Gap);
            }
            IdLookup::Evicted => Gap::Evicted,
            IdLookup::Unknown if self.stream.id_minter().is_known_epoch(id) => Gap::Evicted,
            IdLookup::Unknown if self.stream.id_minter().looks_minted(id) => Gap::Restarted,
            IdLookup::Unknown => Gap::Unknown,
        };
        drop(log);
        self.resume_after_gap(gap, on_gap)
    }

    /// Moves to the starting point that `on_gap` selects.
    pub fn resume_after_gap(&mut self, gap: Gap, on_gap: OnGap) -> ResumeVerdict {
        let log = self.stream.log();
        if on_gap == OnGap::Oldest {
            self.next = log.start();
        }
        self.events_read = log.events_until(self.next);
        ResumeVerdict::Gap(gap)
    }

    /// Returns the id in force at the reader's position, or `None` if there is none or the position has been evicted.
    pub fn current_id(&self) -> Option<EventId> {
        let log = self.stream.log();
        let id = log.id_at(self.next);
        (self.next >= log.start() && !id.is_empty()).then(|| id.clone())
    }

    /// Returns the reader's position.
    pub fn position(&self) -> Offset {
        self.next
    }

    /// Returns true if everything before `end` has been read.
    pub fn has_reached(&mut self, end: Offset) -> bool {
        self.skip_duplicates();
        !self.has_backlog() && self.next >= end
    }

    /// Returns the number of events between the reader and the log's end.
    pub fn events_behind(&self) -> u64 {
        let log = self.stream.log();
        log.events_until(log.end()).saturating_sub(self.events_read)
    }

    /// Waits for entries or the end of the stream. Cancel-safe.
    pub async fn ready(&mut self) -> Ready {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// As [`Self::ready`]. Takes no lock if there are entries to read.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Ready> {
        if let Some(ready) = self.check_ready() {
            return Poll::Ready(ready);
        }
        self.waiter.register_waker(cx.waker());
        // Check again: entries may have been appended before the waker was registered.
        self.check_ready().map_or(Poll::Pending, Poll::Ready)
    }

    fn check_ready(&mut self) -> Option<Ready> {
        if self.has_backlog() {
            return Some(Ready::Entries);
        }
        // Read the end flag first: entries appended before the end are then read before it is reported.
        let is_over = self.stream.is_ended();
        if self.stream.end() > self.next && !self.skip_unwanted() {
            return Some(Ready::Entries);
        }
        is_over.then(|| match self.progress.borrow().phase {
            Phase::Refused(_) => Ready::Refused,
            Phase::Incomplete(reason) => Ready::Incomplete(reason),
            Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete => Ready::Complete,
        })
    }

    /// Skips entries that are not for this reader. Returns true if there were no others.
    fn skip_unwanted(&mut self) -> bool {
        (self.awaits_source && self.skip_retained()) || self.skip_duplicates()
    }

    /// Skips what the source had when it was first connected. Returns true if there is nothing else, or not all of it has
    /// arrived.
    #[cold]
    fn skip_retained(&mut self) -> bool {
        let Some(end) = self.stream.backlog_end() else { return true };
        self.awaits_source = false;
        if end > self.next {
            self.next = end;
            self.events_read = self.stream.log().events_until(end);
            self.waiter.set_position(self.next, self.events_read);
        }
        self.stream.end() <= self.next
    }

    /// Skips entries that were already in the backlog. Returns true if there were no others.
    fn skip_duplicates(&mut self) -> bool {
        let Some(backlog) = &mut self.backlog else { return false };
        let log = self.stream.log();
        // If the position has been evicted, `take` reports it.
        let (entries, events) =
            log.entries_from(self.next, self.events_read).map_or((0, 0), |entries| backlog.count_duplicates(entries));
        self.next.0 += entries;
        self.events_read += events;
        if backlog.is_finished() {
            self.backlog = None;
        }
        entries > 0 && self.next >= log.end()
    }

    fn has_backlog(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.has_more())
    }

    /// Returns true if there are entries to read.
    pub fn has_unread(&self) -> bool {
        self.has_backlog() || self.stream.end() > self.next
    }

    /// Returns true if there are at least `bytes` to read, or some of them have been evicted.
    pub fn has_unread_bytes(&self, bytes: usize) -> bool {
        if self.has_backlog() {
            return true;
        }
        // Nearly always this is just the latest batch, which is checked without a lock.
        if bytes > 0 && self.stream.latest(self.next, bytes - 1, u64::MAX).is_some() {
            return false;
        }
        let log = self.stream.log();
        let Ok(mut entries) = log.entries_from(self.next, self.events_read) else { return true };
        let mut waiting = 0;
        entries.any(|entry| {
            waiting += entry.frame.len();
            waiting >= bytes
        })
    }

    /// Takes entries of at most `bytes` in total, or a single larger one, and at most `events` events.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if the position has been evicted. Nothing is taken then.
    pub fn take(&mut self, bytes: usize, events: u64) -> Result<ReadBatch, Lagged> {
        if let Some(backlog) = self.backlog.as_mut().filter(|backlog| backlog.has_more()) {
            let batch = backlog.take(bytes, events)?;
            if backlog.is_finished() {
                self.backlog = None;
            }
            return Ok(batch);
        }
        let batch = match self.stream.latest(self.next, bytes, events) {
            Some(batch) => batch,
            None => self.take_from_log(bytes, events)?,
        };
        self.next.0 += batch.frames.len() as u64;
        self.events_read += batch.events;
        self.waiter.set_position(self.next, self.events_read);
        Ok(batch)
    }

    fn take_from_log(&self, bytes: usize, events: u64) -> Result<ReadBatch, Lagged> {
        let log = self.stream.log();
        let mut builder = ReadBatchBuilder::default();
        for entry in log.entries_from(self.next, self.events_read)? {
            if !builder.has_room(&entry.frame, bytes, events) {
                break;
            }
            builder.add_entry(entry);
        }
        Ok(builder.finish(BatchOffsets::Consecutive(self.next)))
    }

    /// As [`Self::take`], but if more than `bytes` are waiting, takes only the newest event of each type and skips the
    /// rest. If there are more types than `events`, the types with the newest events are taken.
    ///
    /// # Errors
    ///
    /// [`Lagged`], as for [`Self::take`].
    pub fn take_latest(&mut self, bytes: usize, events: u64) -> Result<ReadBatch, Lagged> {
        if self.has_backlog() || !self.has_unread_bytes(bytes) {
            return self.take(bytes, events);
        }
        let log = self.stream.log();
        drop(log.entries_from(self.next, self.events_read)?);
        let mut builder = ReadBatchBuilder::default();
        let newest = log.newest_of_each_type(self.next);
        let too_many = newest.len().saturating_sub(usize::try_from(events).unwrap_or(usize::MAX));
        let taken = &newest[too_many..];
        for &offset in taken {
            let Some(entry) = log.entries_from(offset, 0)?.next() else { break };
            builder.add_entry(entry);
        }
        self.next = log.end();
        self.events_read = log.events_until(self.next);
        self.waiter.set_position(self.next, self.events_read);
        // The id in force may come from an entry that was skipped.
        let id = log.id_at(self.next);
        if !id.is_empty() {
            builder.add(self.stream.id_frame(id), false);
        }
        Ok(builder.finish(BatchOffsets::Each(taken.into())))
    }

    /// After [`Lagged`]: continues at the oldest retained entry.
    pub fn skip_to_oldest(&mut self) {
        self.backlog = None;
        let log = self.stream.log();
        self.next = log.start();
        self.events_read = log.events_until(self.next);
        self.waiter.set_position(self.next, self.events_read);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.waiters().unregister(&self.waiter);
        self.stream.remove_reader();
    }
}
