//! One reader of a stream: an offset, and the signal that tells it to look.
//!
//! A subscription holds no events and no queue; being slow costs it nothing but its place. Does not know how events are
//! delivered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::backlog::{Backlog, Continuation};
use super::read_batch::{ReadBatch, ReadBatchBuilder};
use super::waiters::{Client, WaiterHandle};
use crate::sse::EventId;
use crate::stream::event_stream::EventStream;
use crate::stream::feed::OpenError;
use crate::stream::log::{Gap, IdLookup, Lagged, Offset, OnGap, ResumeVerdict, Start};
use crate::stream::progress::{Phase, Progress};

/// One reader.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<EventStream>,
    progress: watch::Receiver<Progress>,
    /// Where it waits, and is seen from outside.
    waiter: WaiterHandle,
    next: Offset,
    /// Events before `next`, in the stream's life: what lag is measured against.
    events_read: u64,
    /// What is read before the log. Boxed: hardly anyone has one.
    backlog: Option<Box<Backlog>>,
}

/// What there is to do for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Entries can be read.
    Entries,
    /// Nothing more will come.
    Complete,
    /// The stream was refused after all and is being forgotten: whoever comes back is told why.
    Refused,
}

impl Subscription {
    /// A reader at the log's end.
    pub fn new(stream: &Arc<EventStream>) -> Self {
        // Watch first, look second: whatever is appended in between wakes the reader.
        let progress = stream.add_reader();
        let (next, events_read) = {
            let log = stream.log();
            (log.end(), log.events_until(log.end()))
        };
        let waiter = stream.waiters().register(next, events_read);
        Self { stream: stream.clone(), progress, waiter, next, events_read, backlog: None }
    }

    /// Says who reads, for an operator who looks on.
    pub fn set_client(&self, client: Client) {
        self.waiter.set_client(client);
    }

    /// Where it sits: word for its reader can be left there.
    pub fn waiter(&self) -> &WaiterHandle {
        &self.waiter
    }

    /// The stream that is read.
    pub fn stream(&self) -> &Arc<EventStream> {
        &self.stream
    }

    /// Waits for the source's first outcome. Cancel-safe.
    ///
    /// # Errors
    /// As for [`Self::poll_opened`].
    pub async fn opened(&mut self, is_refused_when_down: bool) -> Result<(), Arc<OpenError>> {
        poll_fn(|cx| self.poll_opened(cx, is_refused_when_down)).await
    }

    /// Completes with the source's first outcome. That a stream is down is a property of the moment: one that has been
    /// live is down whatever its upstream answers, and only who opens a stream is told that answer.
    ///
    /// # Errors
    /// What refused the stream, or, with `is_refused_when_down`, what keeps it down.
    pub fn poll_opened(
        &mut self,
        cx: &mut Context<'_>,
        is_refused_when_down: bool,
    ) -> Poll<Result<(), Arc<OpenError>>> {
        // Register first, look second.
        self.waiter.register_waker(cx.waker());
        let has_been_live = self.stream.has_been_live();
        Poll::Ready(match &self.progress.borrow().phase {
            Phase::Opening => return Poll::Pending,
            Phase::Live | Phase::Complete => Ok(()),
            Phase::Refused(error) => Err(error.clone()),
            Phase::Retrying(Some(error)) if !has_been_live && !error.is_down() => Err(error.clone()),
            Phase::Retrying(_) if !is_refused_when_down => Ok(()),
            Phase::Retrying(Some(error)) if error.is_down() => Err(error.clone()),
            Phase::Retrying(Some(error)) => Err(Arc::new(OpenError::Unreachable(error.to_string()))),
            // It answered when it was asked last, and may have ended its response as it should: that is not down.
            Phase::Retrying(None) => Ok(()),
        })
    }

    /// Completes when `id` is in the log or nothing speaks for it to turn up: to be asked again now and then, since time
    /// decides that as well.
    ///
    /// Only of a stream that goes on after it was cut off may an id be unknown that is right: clients may hold ids that
    /// were not kept, and the upstream, asked to go on after the last one that was, brings them again.
    pub fn poll_for_id(&mut self, cx: &mut Context<'_>, id: &str) -> Poll<()> {
        self.waiter.register_waker(cx.waker());
        let is_over = self.stream.is_ended();
        if is_over || !self.stream.may_reappear(id) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Goes to where a client without an id starts. A reader that opened the stream keeps what came since.
    pub fn start_at(&mut self, start: Start) -> ResumeVerdict {
        let log = self.stream.log();
        let at = match start {
            Start::Live => {
                self.events_read = log.events_until(self.next);
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

    /// Whether the log has what follows this id.
    pub fn can_resume(&self, id: &str) -> bool {
        matches!(self.stream.log().lookup(id), IdLookup::Found(_))
    }

    /// Reads what the client was caught up with, and then the log from where it goes on.
    pub fn resume_from_backlog(&mut self, backlog: Backlog) -> ResumeVerdict {
        let Continuation { events, offset, events_read } = backlog.continuation();
        (self.next, self.events_read) = (offset, events_read);
        self.backlog = Some(Box::new(backlog));
        self.skip_duplicates();
        let log = self.stream.log();
        let missed = events + log.events_until(log.end()).saturating_sub(self.events_read);
        log.gap_after(self.next).map_or(ResumeVerdict::Resumed { missed }, ResumeVerdict::Gap)
    }

    /// Goes to where the client with this id stopped, or to where the route sends those who cannot. Across a break of
    /// continuity nobody is resumed, but goes on from its place all the same.
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

    /// Goes to where the route sends those who cannot go on.
    pub fn resume_after_gap(&mut self, gap: Gap, on_gap: OnGap) -> ResumeVerdict {
        let log = self.stream.log();
        if on_gap == OnGap::Oldest {
            self.next = log.start();
        }
        self.events_read = log.events_until(self.next);
        ResumeVerdict::Gap(gap)
    }

    /// The id in force at the reader's place. `None`: there is none, or the place is gone.
    pub fn current_id(&self) -> Option<EventId> {
        let log = self.stream.log();
        let id = log.id_at(self.next);
        (self.next >= log.start() && !id.is_empty()).then(|| id.clone())
    }

    /// Where the reader stands.
    pub fn position(&self) -> Offset {
        self.next
    }

    /// Whether it has read everything before a place.
    pub fn has_reached(&mut self, end: Offset) -> bool {
        self.skip_duplicates();
        !self.has_backlog() && self.next >= end
    }

    /// How many events the reader is behind the newest.
    pub fn events_behind(&self) -> u64 {
        let log = self.stream.log();
        log.events_until(log.end()).saturating_sub(self.events_read)
    }

    /// Waits until there is something to read or nothing will come. Cancel-safe.
    pub async fn ready(&mut self) -> Ready {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// As [`Self::ready`]. Takes no lock when there is something to read.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Ready> {
        if let Some(ready) = self.check_ready() {
            return Poll::Ready(ready);
        }
        self.waiter.register_waker(cx.waker());
        // It may have rung in between.
        self.check_ready().map_or(Poll::Pending, Poll::Ready)
    }

    fn check_ready(&mut self) -> Option<Ready> {
        if self.has_backlog() {
            return Some(Ready::Entries);
        }
        // In this order: what was appended before the end of all is read before it is told.
        let is_over = self.stream.is_ended();
        if self.stream.end() > self.next && !self.skip_duplicates() {
            return Some(Ready::Entries);
        }
        is_over.then(|| match self.progress.borrow().phase {
            Phase::Refused(_) => Ready::Refused,
            Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete => Ready::Complete,
        })
    }

    /// Passes over what the backlog had already; whether that was all that waited.
    fn skip_duplicates(&mut self) -> bool {
        let Some(backlog) = &mut self.backlog else { return false };
        let log = self.stream.log();
        // A place that is gone is for whoever takes to find.
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

    /// Whether entries wait to be read.
    pub fn has_unread(&self) -> bool {
        self.has_backlog() || self.stream.end() > self.next
    }

    /// Whether entries of at least `bytes` together wait to be read, or some of them are gone already.
    pub fn has_unread_bytes(&self, bytes: usize) -> bool {
        if self.has_backlog() {
            return true;
        }
        // Nearly always it is just the news, and those tell without a lock.
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

    /// Takes entries of at most `bytes` together, or a single larger one, and at most `events` events.
    ///
    /// # Errors
    /// [`Lagged`] when the place is no longer in the log; nothing is batch then.
    pub fn take(&mut self, bytes: usize, events: u64) -> Result<ReadBatch, Lagged> {
        if let Some(backlog) = self.backlog.as_mut().filter(|backlog| backlog.has_more()) {
            let batch = backlog.take(bytes, events)?;
            if backlog.is_finished() {
                self.backlog = None;
            }
            return Ok(batch);
        }
        let batch = match self.stream.latest(self.next, bytes, events) {
            Some(news) => news,
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
        Ok(builder.finish())
    }

    /// As [`Self::take`], but a reader for whom more waits than `bytes` gets only the newest event of each type, and
    /// with it everything that it will ever get of what waits now. Of more types than `events`, those whose news is newest.
    ///
    /// # Errors
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
        for offset in newest.into_iter().skip(too_many) {
            let Some(entry) = log.entries_from(offset, 0)?.next() else { break };
            builder.add_entry(entry);
        }
        self.next = log.end();
        self.events_read = log.events_until(self.next);
        self.waiter.set_position(self.next, self.events_read);
        // The id in force may have been said by an entry that was left out.
        let id = log.id_at(self.next);
        if !id.is_empty() {
            builder.add(self.stream.id_frame(id), false);
        }
        Ok(builder.finish())
    }

    /// After [`Lagged`]: goes on at the oldest entry kept.
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
    }
}
