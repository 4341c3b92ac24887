//! Catches up clients whose id is older than the log, from the upstream's own history: one extra request for all
//! clients of a stream with the same id.
//!
//! Bounded in everything: events and bytes of a request, requests at a time for each route, and time. A result is held
//! until all who wait for it have read it, for [`READ_TIMEOUT`] at most, and counts as a request until then, so that memory
//! is bounded by the same number. Whoever cannot be caught up gets the ordinary answer; nothing is tried twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::catch_up::{CatchUp, CatchUpError, CatchUpLimit};
use crate::runtime::tasks::Tasks;
use crate::sse::EventId;
use crate::stream::event_stream::EventStream;
use crate::stream::feed::{EventSource, Opened, TurnBudget};
use crate::stream::log::{IdLookup, OnEnd};
use crate::stream::progress::Phase;
use crate::stream::read::{Backlog, CatchUpState, CaughtUp};
use crate::stream::spec::StreamObserver;

/// How long clients have to read what they were caught up with. One that is slower falls off, as off the log, and comes
/// back with the id it got to.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// An upstream that has brought nothing for so long has no history; and no more of it where the stream has had no event
/// yet, so that no log shows where the history ends. A producer that pauses longer within its history is cut short there.
pub const HISTORY_PAUSE: Duration = Duration::from_secs(1);

/// Catches up the clients of one route.
pub struct ReadThrough {
    limit: CatchUpLimit,
    /// From the request to its end: a turn, the upstream's answer, and its history.
    timeout: Duration,
    permits: Arc<Semaphore>,
    running: Arc<Running>,
    observer: Arc<dyn StreamObserver>,
}

/// The requests that others may join, by stream and id. The stream is told apart by its address, which is nobody else's:
/// a request holds its stream for as long as it is listed.
type Running = Mutex<HashMap<(usize, EventId), Arc<watch::Sender<CatchUpState>>>>;

impl ReadThrough {
    /// For one route. `timeout` bounds the whole of a request; waiting for its turn takes at most half of it.
    pub fn new(limit: CatchUpLimit, timeout: Duration, observer: Arc<dyn StreamObserver>) -> Self {
        Self { limit, timeout, permits: Arc::new(Semaphore::new(limit.concurrent)), running: Arc::default(), observer }
    }

    /// What came after `after`, which the stream's log does not have; `None` if it cannot be had. The wait is bounded by
    /// the timeout. `source` must be where the stream's events come from. Cancel-safe: the last one to leave ends the
    /// request.
    pub async fn catch_up(
        &self,
        tasks: &Tasks,
        stream: &Arc<EventStream>,
        after: &EventId,
        source: impl FnOnce() -> Arc<dyn EventSource>,
    ) -> Option<Backlog> {
        // Only beside a connection that brings what comes from now on.
        if !matches!(stream.progress().phase, Phase::Live | Phase::Complete) {
            return None;
        }
        let mut result = self.join_or_start(tasks, stream, after, source);
        let is_done = match &*result.wait_for(|state| !matches!(state, CatchUpState::Running)).await.ok()? {
            CatchUpState::Done(_) => true,
            CatchUpState::Running | CatchUpState::Over => false,
        };
        if is_done { Backlog::new(result) } else { None }
    }

    fn join_or_start(
        &self,
        tasks: &Tasks,
        stream: &Arc<EventStream>,
        after: &EventId,
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
            was_evicted: stream.log().lookup(after.as_str()) == IdLookup::Evicted,
            limit: self.limit,
            permit_deadline: Instant::now() + self.timeout / 2,
            deadline: Instant::now() + self.timeout,
            result: sender,
            running: self.running.clone(),
        };
        let (permits, observer, source) = (self.permits.clone(), self.observer.clone(), source());
        let (here, doing) = (Handle::current(), stream.key().clone());
        tasks.spawn_on(&here, "catch-up", doing, Box::pin(run.run(permits, observer, source)));
        receiver
    }
}

/// One extra request.
struct Request {
    stream: Arc<EventStream>,
    after: EventId,
    was_evicted: bool,
    limit: CatchUpLimit,
    /// A turn that comes later would leave no time to use it.
    permit_deadline: Instant,
    deadline: Instant,
    result: Arc<watch::Sender<CatchUpState>>,
    running: Arc<Running>,
}

impl Request {
    async fn run(self, permits: Arc<Semaphore>, observer: Arc<dyn StreamObserver>, source: Arc<dyn EventSource>) {
        // However this task ends, nobody finds it after.
        let listed = DelistOnDrop(&self);
        let outcome = tokio::select! {
            outcome = self.acquire_and_fetch(permits, source) => outcome,
            () = self.abandoned() => return,
        };
        observer.read_through(outcome.as_ref().err().map_or("ok", |error| error.label()));
        drop(listed);
        let (caught_up, turn) = match outcome {
            Ok((caught_up, turn)) => (caught_up, turn),
            Err(error) => {
                debug!(stream = %self.stream.key(), reason = error.label(), "not caught up");
                self.result.send_replace(CatchUpState::Over);
                return;
            }
        };
        debug!(stream = %self.stream.key(), events = caught_up.events, "caught up");
        self.result.send_replace(CatchUpState::Done(Arc::new(caught_up)));
        tokio::select! {
            () = self.result.closed() => {}
            () = sleep(READ_TIMEOUT) => {}
        }
        self.result.send_replace(CatchUpState::Over);
        drop(turn);
    }

    fn key(&self) -> (usize, EventId) {
        (Arc::as_ptr(&self.stream).addr(), self.after.clone())
    }

    /// Completes when nobody waits any more, and nobody will.
    async fn abandoned(&self) {
        loop {
            self.result.closed().await;
            let mut running = self.running.lock();
            // Under the lock nobody joins.
            if self.result.receiver_count() == 0 {
                running.remove(&self.key());
                return;
            }
        }
    }

    async fn acquire_and_fetch(
        &self,
        permits: Arc<Semaphore>,
        source: Arc<dyn EventSource>,
    ) -> Result<(CaughtUp, tokio::sync::OwnedSemaphorePermit), CatchUpError> {
        let turn = timeout_at(self.permit_deadline, permits.acquire_owned()).await.map_err(|_| CatchUpError::Busy)?;
        let turn = turn.expect("the permits are never closed");
        let caught_up = timeout_at(self.deadline, self.fetch(source)).await.map_err(|_| CatchUpError::TimedOut)??;
        Ok((caught_up, turn))
    }

    async fn fetch(&self, source: Arc<dyn EventSource>) -> Result<CaughtUp, CatchUpError> {
        // Watch first, look second.
        let mut progress = self.stream.watch_progress();
        let (opened_at, fingerprints) = (self.stream.log().end(), self.stream.fingerprints());
        let mut catch_up = CatchUp::new(self.after.clone(), self.was_evicted, opened_at, self.limit, fingerprints);
        let opened = source.open(Some(self.after.clone())).await.map_err(|_| CatchUpError::Refused)?;
        let Opened { mut items, is_continued, is_gap } = opened;
        if is_gap {
            return Err(CatchUpError::Refused);
        }
        if is_continued {
            catch_up.confirm_continuity();
        }
        let mut pause_deadline = Instant::now() + HISTORY_PAUSE;
        let mut turn = TurnBudget::default();
        loop {
            turn.yield_if_spent().await;
            let joined = tokio::select! {
                batch = items.next() => match batch {
                    Some(Ok(batch)) => {
                        turn.spend(&batch);
                        if !batch.items.is_empty() {
                            pause_deadline = Instant::now() + HISTORY_PAUSE;
                        }
                        catch_up.accept(batch, &self.stream.log())?
                    }
                    Some(Err(_)) => return Err(CatchUpError::Broken),
                    None => return self.on_end(&mut catch_up),
                },
                // An error is impossible while the stream is held, and would only mean that there is nothing to see.
                _ = progress.changed() => catch_up.try_join(&self.stream.log())?,
                () = sleep_until(pause_deadline) => {
                    pause_deadline = Instant::now() + HISTORY_PAUSE;
                    let log = self.stream.log();
                    if CatchUp::can_finish_without_log(&log) {
                        return catch_up.finish_without_log(&log);
                    }
                    // The log has events, and of those at least it would have brought some.
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
        // Where an end means that all is said, it is; else it may be one of many portions.
        match self.stream.policy().on_end {
            OnEnd::Complete if CatchUp::can_finish_without_log(&log) => catch_up.finish_without_log(&log),
            OnEnd::Complete | OnEnd::Reconnect => Err(CatchUpError::EndedEarly),
        }
    }
}

/// A request that others may join.
struct DelistOnDrop<'r>(&'r Request);

impl Drop for DelistOnDrop<'_> {
    fn drop(&mut self) {
        let key = self.0.key();
        let mut running = self.0.running.lock();
        // It may have been taken out, and another one begun.
        if running.get(&key).is_some_and(|listed| Arc::ptr_eq(listed, &self.0.result)) {
            running.remove(&key);
        }
    }
}
