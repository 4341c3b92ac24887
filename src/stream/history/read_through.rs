//! Catches up clients whose id is older than the log: one extra request to the upstream for all clients of a stream
//! with the same id.
//!
//! Everything is bounded: the events and bytes of a request, its time, and the concurrent requests of a route, of which one
//! client has at most a quarter. A result is held until all waiting clients have read it, at most [`READ_TIMEOUT`], and as
//! long as there is memory for it ([`HistoryMemory`]). A client that cannot be caught up gets the ordinary response.
//! Nothing is tried twice, except while the upstream is away, and at most [`MAX_LIVE_RETRIES`] times while the stream
//! itself is connected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::catch_up::{CatchUp, CatchUpError, CatchUpLimit};
use super::memory::{HistoryCharge, HistoryMemory};
use crate::runtime::fair_semaphore::FairSemaphore;
use crate::runtime::shares::OnRefusal;
use crate::runtime::tasks::Tasks;
use crate::runtime::turn::TurnBudget;
use crate::runtime::turn_owner::TurnOwner;
use crate::sse::EventId;
use crate::stream::event_stream::EventStream;
use crate::stream::feed::{Batch, Continuity, EventSource, OpenOutcome, Opened};
use crate::stream::log::{IdLookup, OnEnd};
use crate::stream::progress::{Phase, Progress};
use crate::stream::read::{Backlog, CatchUpState, CaughtUp};
use crate::stream::spec::StreamObserver;

/// The time that clients have to read the result. A slower client falls off, as it would fall off the log, and comes
/// back with the id that it has reached.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The part of a route's permits that one client may hold, as a divisor. It always has one.
const CLIENT_SHARE: usize = 4;

/// The first pause before a request is made again because the upstream went away. Each further one is twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause before a request is made again.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(4);

/// Most requests that are made again although the stream itself is connected. Its connection may be about to break, or
/// the upstream accepts no second one.
pub(super) const MAX_LIVE_RETRIES: usize = 2;

/// An upstream that sends nothing for this long has no history. If the stream has had no event yet, so that the log
/// cannot show where the history ends, this pause also ends a history. A producer that pauses longer is cut short.
pub(super) const HISTORY_PAUSE: Duration = Duration::from_secs(1);

/// Catches up the clients of one route.
pub struct ReadThrough {
    limit: CatchUpLimit,
    /// The time limit of a request: waiting for a permit, the upstream's response, and its history.
    timeout: Duration,
    permits: FairSemaphore<Arc<str>>,
    memory: HistoryMemory,
    running: Arc<Running>,
    observer: Arc<dyn StreamObserver>,
}

/// A client could not be caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCaughtUp {
    /// True if the upstream is away, so that a later request may succeed.
    is_away: bool,
}

/// The requests that others may join, by the stream's address and the id. The address is unique, since a request holds
/// its stream for as long as it is listed.
type Running = Mutex<HashMap<(usize, EventId), Arc<watch::Sender<CatchUpState>>>>;

impl ReadThrough {
    /// Creates the handler of one route. `timeout` bounds a whole request. At most half of it is spent on waiting for a
    /// permit. `on_refusal` is called when a client with its share of the permits has waited in vain.
    pub fn new(
        limit: CatchUpLimit,
        timeout: Duration,
        observer: Arc<dyn StreamObserver>,
        on_refusal: OnRefusal,
    ) -> Self {
        let permits = FairSemaphore::new(limit.concurrent, limit.concurrent / CLIENT_SHARE, on_refusal);
        Self { limit, timeout, permits, memory: HistoryMemory::new(limit), running: Arc::default(), observer }
    }

    /// As [`Self::catch_up`], and waits while the upstream is away, until `deadline`. Requests after the first end then
    /// as well.
    pub async fn catch_up_when_connected(
        &self,
        tasks: &Tasks,
        stream: &Arc<EventStream>,
        after: &EventId,
        owner: Option<Arc<str>>,
        source: &Arc<dyn EventSource>,
        deadline: Instant,
    ) -> Option<Backlog> {
        let mut progress = stream.watch_progress();
        let mut pause = RETRY_PAUSE;
        let mut live_failures = 0;
        let mut end_of_request = None;
        loop {
            let is_decided = |progress: &Progress| match progress.phase {
                Phase::Live | Phase::Complete | Phase::Incomplete(_) | Phase::Refused(_) => true,
                Phase::Opening | Phase::Retrying(_) => false,
            };
            timeout_at(deadline, progress.wait_for(is_decided)).await.ok()?.ok()?;
            // The connection may have sent what the client lacks.
            if let IdLookup::Found(_) = stream.log().lookup(after.as_str()) {
                return None;
            }
            let request = self.catch_up(tasks, stream, after, owner.clone(), || source.clone());
            let outcome = match end_of_request.replace(deadline) {
                None => request.await,
                Some(deadline) => timeout_at(deadline, request).await.ok()?,
            };
            match outcome {
                Ok(backlog) => return Some(backlog),
                Err(error) if !error.is_away => return None,
                Err(_) => {
                    live_failures += usize::from(is_decided(&stream.progress()));
                    if live_failures > MAX_LIVE_RETRIES {
                        return None;
                    }
                    timeout_at(deadline, sleep(pause)).await.ok()?;
                }
            }
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
    }

    /// Returns the history after `after`, an id that the stream's log does not have. `owner` is the client's address or
    /// the holder of its token; without one only the bounds of the route apply. `source` must return the source of the
    /// stream's events. Cancel-safe: the request ends when its last client leaves.
    ///
    /// # Errors
    /// The history cannot be had in time.
    pub async fn catch_up(
        &self,
        tasks: &Tasks,
        stream: &Arc<EventStream>,
        after: &EventId,
        owner: Option<Arc<str>>,
        source: impl FnOnce() -> Arc<dyn EventSource>,
    ) -> Result<Backlog, NotCaughtUp> {
        // History can be joined only to a connection that receives the events from now on.
        match stream.progress().phase {
            Phase::Live | Phase::Complete => {}
            Phase::Opening | Phase::Retrying(_) => return Err(NotCaughtUp { is_away: true }),
            Phase::Incomplete(_) | Phase::Refused(_) => return Err(NotCaughtUp { is_away: false }),
        }
        let mut result = self.join_or_start(tasks, stream, after, owner, source);
        match result.wait_for(|state| !matches!(state, CatchUpState::Running)).await.as_deref() {
            Ok(CatchUpState::Done(_)) => {}
            Ok(CatchUpState::Away) => return Err(NotCaughtUp { is_away: true }),
            Ok(CatchUpState::Running | CatchUpState::Over) | Err(_) => return Err(NotCaughtUp { is_away: false }),
        }
        Backlog::new(result).ok_or(NotCaughtUp { is_away: false })
    }

    fn join_or_start(
        &self,
        tasks: &Tasks,
        stream: &Arc<EventStream>,
        after: &EventId,
        owner: Option<Arc<str>>,
        source: impl FnOnce() -> Arc<dyn EventSource>,
    ) -> watch::Receiver<CatchUpState> {
        let key = (Arc::as_ptr(stream).addr(), after.clone());
        let mut running = self.running.lock();
        if let Some(result) = running.get(&key) {
            return result.subscribe();
        }
        let (sender, receiver) = watch::channel(CatchUpState::Running);
        let sender = Arc::new(sender);
        running.insert(key, sender.clone());
        let run = Request {
            stream: stream.clone(),
            after: after.clone(),
            owner,
            was_evicted: stream.log().lookup(after.as_str()) == IdLookup::Evicted,
            limit: self.limit,
            permit_deadline: Instant::now() + self.timeout / 2,
            deadline: Instant::now() + self.timeout,
            result: sender,
            running: self.running.clone(),
        };
        let (permits, memory, observer) = (self.permits.clone(), self.memory.clone(), self.observer.clone());
        let (here, doing) = (Handle::current(), stream.key().clone());
        tasks.spawn_on(&here, "catch-up", doing, Box::pin(run.run(permits, memory, observer, source())));
        receiver
    }
}

/// One request for history.
struct Request {
    stream: Arc<EventStream>,
    after: EventId,
    owner: Option<Arc<str>>,
    was_evicted: bool,
    limit: CatchUpLimit,
    /// A permit after this time would leave too little time to use it.
    permit_deadline: Instant,
    deadline: Instant,
    result: Arc<watch::Sender<CatchUpState>>,
    running: Arc<Running>,
}

impl Request {
    async fn run(
        self,
        permits: FairSemaphore<Arc<str>>,
        memory: HistoryMemory,
        observer: Arc<dyn StreamObserver>,
        source: Arc<dyn EventSource>,
    ) {
        // However this task ends, nobody can join it afterwards.
        let listed = DelistOnDrop(&self);
        let outcome = tokio::select! {
            outcome = self.acquire_and_fetch(permits, memory, source) => outcome,
            () = self.abandoned() => return,
        };
        observer.read_through(outcome.as_ref().err().map_or("ok", |error| error.label()));
        drop(listed);
        let (caught_up, mut charge) = match outcome {
            Ok(fetched) => fetched,
            Err(error) => {
                debug!(stream = %self.stream.key().excerpt(), reason = error.label(), "not caught up");
                self.result.send_replace(if error.is_away() { CatchUpState::Away } else { CatchUpState::Over });
                return;
            }
        };
        debug!(stream = %self.stream.key().excerpt(), events = caught_up.events, "caught up");
        self.result.send_replace(CatchUpState::Done(Arc::new(caught_up)));
        charge.finish();
        tokio::select! {
            () = self.result.closed() => {}
            () = charge.expired() => {}
            () = sleep(READ_TIMEOUT) => {}
        }
        self.result.send_replace(CatchUpState::Over);
    }

    fn key(&self) -> (usize, EventId) {
        (Arc::as_ptr(&self.stream).addr(), self.after.clone())
    }

    /// Completes when no client waits and none can join any more.
    async fn abandoned(&self) {
        loop {
            self.result.closed().await;
            let mut running = self.running.lock();
            // Under the lock nobody can join.
            if self.result.receiver_count() == 0 {
                running.remove(&self.key());
                return;
            }
        }
    }

    /// The permit ends with the fetch. What the clients have not read afterwards is bounded by its memory.
    async fn acquire_and_fetch(
        &self,
        permits: FairSemaphore<Arc<str>>,
        memory: HistoryMemory,
        source: Arc<dyn EventSource>,
    ) -> Result<(CaughtUp, HistoryCharge), CatchUpError> {
        let permit = permits.acquire_until(self.owner.clone(), self.permit_deadline).await;
        let _permit = permit.ok_or(CatchUpError::Busy)?;
        let mut charge = memory.charge(self.owner.clone(), self.stream.ledger());
        let fetched = timeout_at(self.deadline, self.fetch(source, &mut charge)).await;
        Ok((fetched.map_err(|_| CatchUpError::TimedOut)??, charge))
    }

    async fn fetch(&self, source: Arc<dyn EventSource>, charge: &mut HistoryCharge) -> Result<CaughtUp, CatchUpError> {
        // Register before reading the log's end, or an append in between would go unnoticed.
        let mut progress = self.stream.watch_progress();
        let (opened_at, fingerprints) = (self.stream.log().end(), self.stream.fingerprints());
        let mut catch_up = CatchUp::new(self.after.clone(), self.was_evicted, opened_at, self.limit, fingerprints);
        let outcome = source.open(Some(self.after.clone())).await.and_then(OpenOutcome::into_stream);
        let opened =
            outcome.map_err(|error| if error.is_down() { CatchUpError::Away } else { CatchUpError::Refused })?;
        let Opened { retained, mut items, continuity } = opened;
        let mut credentials_changed = source.credentials_changed();
        match continuity {
            Continuity::Continued => catch_up.confirm_continuity(),
            Continuity::Gap => return Err(CatchUpError::Refused),
            Continuity::Unknown => {}
        }
        if let Some(caught_up) = catch_up.accept(Batch { items: retained, ..Batch::default() }, &self.stream.log())? {
            return Ok(caught_up);
        }
        charge.grow_to(catch_up.memory());
        let mut pause_deadline = Instant::now() + HISTORY_PAUSE;
        let mut budget = TurnBudget::default();
        let owner = TurnOwner::Route(self.stream.key().route.clone());
        loop {
            budget.yield_if_spent(&owner).await;
            let joined = tokio::select! {
                batch = items.next() => match batch {
                    Some(Ok(batch)) => {
                        budget.spend(batch.bytes);
                        if !batch.items.is_empty() {
                            pause_deadline = Instant::now() + HISTORY_PAUSE;
                        }
                        let joined = catch_up.accept(batch, &self.stream.log())?;
                        charge.grow_to(catch_up.memory());
                        joined
                    }
                    Some(Err(_)) => return Err(CatchUpError::Broken),
                    None => return self.on_end(&mut catch_up),
                },
                () = &mut credentials_changed => return Err(CatchUpError::Broken),
                // An error is impossible while the stream is held.
                _ = progress.changed() => catch_up.try_join(&self.stream.log())?,
                () = sleep_until(pause_deadline) => {
                    pause_deadline = Instant::now() + HISTORY_PAUSE;
                    let log = self.stream.log();
                    if CatchUp::can_finish_without_log(&log) {
                        return catch_up.finish_without_log(&log);
                    }
                    // The log has events. An upstream with history would have sent at least those.
                    if catch_up.is_empty() {
                        return Err(CatchUpError::Unproved);
                    }
                    None
                }
            };
            if let Some(caught_up) = joined {
                return Ok(caught_up);
            }
        }
    }

    fn on_end(&self, catch_up: &mut CatchUp) -> Result<CaughtUp, CatchUpError> {
        let log = self.stream.log();
        if let Some(caught_up) = catch_up.try_join(&log)? {
            return Ok(caught_up);
        }
        // If the end of a response means the end of the stream, the history is complete. Otherwise it may be one part
        // of many.
        match self.stream.policy().current().on_end {
            OnEnd::Complete if CatchUp::can_finish_without_log(&log) => catch_up.finish_without_log(&log),
            OnEnd::Complete | OnEnd::Reconnect => Err(CatchUpError::EndedEarly),
        }
    }
}

/// Removes a request from the list when it ends.
struct DelistOnDrop<'r>(&'r Request);

impl Drop for DelistOnDrop<'_> {
    fn drop(&mut self) {
        let key = self.0.key();
        let mut running = self.0.running.lock();
        // It may have been replaced by another request.
        if running.get(&key).is_some_and(|listed| Arc::ptr_eq(listed, &self.0.result)) {
            running.remove(&key);
        }
    }
}
