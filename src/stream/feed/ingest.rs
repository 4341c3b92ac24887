//! The loop that feeds one stream: connect, forward, back off, connect again.
//!
//! Each stream has one ingest and so one upstream connection. The ingest ends when the stream is complete or refused,
//! and is dropped when the stream had no reader for its linger. Failures are logged once per change of state. The
//! ingest does not know the readers.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tracing::{debug, info, warn};

use super::commit::Fenced;
use super::connection::{Connection, ConnectionEnd, CredentialsWatch};
use super::dedup::ReconnectDedup;
use super::finished::{Finished, LATE_REFUSAL_MEMORY, REFUSAL_MEMORY};
use super::open_error::OpenError;
use super::publisher::Publisher;
use super::source::{Batch, Continuity, Interrupted, OpenOutcome, Opened};
use crate::runtime::backoff::Backoff;
use crate::runtime::feed_turns::FeedTurns;
use crate::runtime::jitter;
use crate::runtime::memory::MemoryCharge;
use crate::runtime::turn_owner::TurnOwner;
use crate::sse::{EventId, Item};
use crate::stream::event_stream::EventStream;
use crate::stream::log::{Gap, GapNotice, OnEnd, Policy};
use crate::stream::log_memory::LogMemory;
use crate::stream::progress::Phase;
use crate::stream::spec::StreamSpec;
use crate::stream::stream_memory::STREAM_WEIGHT;

/// The task that feeds one stream.
pub(crate) struct Ingest {
    stream: Arc<EventStream>,
    publisher: Publisher,
    /// The memory of the stream without its log.
    charge: MemoryCharge,
    spec: StreamSpec,
    dedup: ReconnectDedup,
    /// The reconnection time that the upstream last sent. It replaces the initial delay of the backoff.
    retry: Option<Duration>,
    /// The number of attempts since the last event.
    failures: u32,
    /// True once a connection has been open, in this process or an earlier one. From then on a reconnect must prove
    /// continuity, and a refusal is retried.
    has_past: bool,
    last_failure: Option<String>,
    connection: Connection,
    /// True if the last connection was short and received no event. The next one then does not yet count as a recovery.
    is_flapping: bool,
    /// Set once we have logged that this upstream ends its response after a few events (long-polling style).
    has_logged_ends: bool,
    /// Set once we have logged that events are too large.
    has_logged_oversized: bool,
    /// Set once we have logged that this upstream ends its responses without a new id.
    has_logged_no_new_id: bool,
    /// True if an attempt before the first connection may have lost events.
    may_have_missed: bool,
    /// The last error and the last event id at that time, if no event has arrived since.
    failed_at: Option<(String, Option<EventId>)>,
}

impl Ingest {
    /// Creates the ingest of a new stream. `charge` is for the memory of the stream without its log.
    pub(crate) fn new(stream: Arc<EventStream>, spec: StreamSpec, memory: LogMemory, charge: MemoryCharge) -> Self {
        let dedup = ReconnectDedup::new(gap_notice(&stream, &spec), stream.fingerprints());
        let publisher = Publisher::new(stream.clone(), memory, spec.feed.clone());
        let connection = Connection::opened_after(None, 0);
        Self {
            stream,
            publisher,
            charge,
            spec,
            dedup,
            retry: None,
            failures: 0,
            has_past: false,
            last_failure: None,
            connection,
            is_flapping: false,
            has_logged_ends: false,
            has_logged_oversized: false,
            has_logged_no_new_id: false,
            may_have_missed: false,
            failed_at: None,
        }
    }

    /// Creates the ingest of a stream whose log holds what was read before, here or elsewhere. `has_past`: the upstream
    /// has been connected before.
    pub(in crate::stream) fn continued(
        stream: Arc<EventStream>,
        spec: StreamSpec,
        memory: LogMemory,
        charge: MemoryCharge,
        has_past: bool,
    ) -> Self {
        let mut ingest = Self::new(stream, spec, memory, charge);
        let gap_notice = gap_notice(&ingest.stream, &ingest.spec);
        ingest.dedup = ReconnectDedup::restored_from(&ingest.stream.log(), gap_notice, ingest.stream.fingerprints());
        (ingest.has_past, ingest.retry) = (has_past, ingest.stream.progress().retry);
        ingest
    }

    /// Feeds the stream until it is complete or refused. Dropping the future closes the upstream connection.
    ///
    /// # Errors
    /// Something else feeds the stream. Its phase stays as it is.
    pub(in crate::stream) async fn run_until_fenced(mut self) -> Result<Finished, Fenced> {
        let finished = self.feed().await;
        self.publisher.finish_waking();
        finished
    }

    /// Feeds the stream until it is complete, refused or fenced. Dropping the future closes the upstream connection.
    pub(crate) async fn run(mut self) -> Finished {
        match self.feed().await {
            Ok(finished) => finished,
            Err(fenced) => {
                self.publisher.finish_waking();
                warn!(stream = %self.stream.key().excerpt(), route = %self.stream.key().route, reason = %fenced, "stream closed");
                let error = OpenError::Unavailable { reason: fenced.to_string(), retry_after: None };
                self.stream.set_phase(Phase::Refused(Arc::new(error)));
                Finished::Refused(REFUSAL_MEMORY)
            }
        }
    }

    async fn feed(&mut self) -> Result<Finished, Fenced> {
        if let Some((phase, finished)) = self.restore().await {
            self.stream.set_phase(phase);
            return Ok(finished);
        }
        if self.has_past && !self.spec.attempts.may_repeat() {
            return self.break_off("the gateway that sent the request is gone".to_owned()).await;
        }
        loop {
            // The delay that the upstream asks for.
            let mut least = Duration::ZERO;
            let source = self.spec.source.clone();
            let after = self.dedup.id_to_request(&self.stream.log(), |id| source.can_overlap_after(id));
            let outcome = source.open(after).await.and_then(OpenOutcome::into_stream);
            self.spec.observer.connected(outcome.as_ref().map(|_| ()));
            match outcome {
                Ok(opened) => {
                    let Opened { retained, items, continuity } = opened;
                    self.on_opened(continuity, retained).await?;
                    let copied = self.forward(items).await?;
                    // An event that was not complete is gone with its connection.
                    self.charge.resize(STREAM_WEIGHT);
                    // Finish waking the readers before the phase changes.
                    self.publisher.finish_waking();
                    if let ConnectionEnd::CredentialsChanged = copied {
                        let key = self.stream.key();
                        info!(stream = %key.excerpt(), route = %key.route, "upstream credentials changed, reconnecting");
                        self.stream.set_phase(Phase::Retrying(None));
                        continue;
                    }
                    let is_short = self.connection.since.elapsed() < self.stream.policy().current().backoff.max;
                    self.is_flapping = is_short && !self.connection.has_received_events;
                    match copied {
                        ConnectionEnd::Clean if self.stream.policy().current().on_end == OnEnd::Complete => {
                            return self.complete().await;
                        }
                        ConnectionEnd::Interrupted(error) if !self.spec.attempts.may_repeat() => {
                            return self.break_off(error.to_string()).await;
                        }
                        ConnectionEnd::Clean => self.on_end(is_short),
                        ConnectionEnd::Interrupted(error) => self.on_interruption(error.to_string(), true),
                        ConnectionEnd::CredentialsChanged => {}
                    }
                    self.stream.set_phase(Phase::Retrying(None));
                }
                Err(OpenError::Complete) => return self.complete().await,
                Err(error) if self.is_final(&error) => {
                    self.charge_answer(&error);
                    if self.spec.observer.acquire_failure_line() {
                        warn!(stream = %self.stream.key().excerpt(), route = %self.stream.key().route, %error, "stream refused");
                    }
                    let memory = self.refusal_memory(&error);
                    self.stream.set_phase(Phase::Refused(Arc::new(error)));
                    // Read after the phase is set: a response that goes out early checks the phase once more.
                    return Ok(Finished::Refused(match self.stream.has_early_response() {
                        true => memory.max(LATE_REFUSAL_MEMORY),
                        false => memory,
                    }));
                }
                Err(error) => {
                    least = error.retry_after().unwrap_or_default();
                    // The request may have reached the producer, and its answer may have contained events.
                    self.may_have_missed |= matches!(error, OpenError::TimedOut(_) | OpenError::ClosedEarly(_));
                    let is_answered = !error.is_down() && !matches!(error, OpenError::RateLimited { .. });
                    self.on_interruption(error.to_string(), is_answered);
                    self.stream.set_phase(Phase::Retrying(Some(Arc::new(error))));
                }
            }
            let begun = tokio::time::Instant::now();
            let (failures, retry) = (self.failures, self.retry);
            let random = jitter::unit();
            let delay = |policy: &Policy| {
                let Backoff { initial, max } = policy.backoff;
                Backoff { initial: retry.unwrap_or(initial).min(max), max }.delay(failures, random).max(least)
            };
            self.failures = self.failures.saturating_add(1);
            let delay_ms = delay(&self.stream.policy().current()).as_millis();
            debug!(stream = %self.stream.key().excerpt(), delay_ms, "next attempt");
            tokio::select! {
                () = self.stream.policy().elapsed(begun, delay) => {}
                () = self.spec.source.credentials_changed() => {}
            }
        }
    }

    /// Restores the stored state. Returns the end of the stream, if it has ended.
    async fn restore(&mut self) -> Option<(Phase, Finished)> {
        let stored = self.stream.persister()?.load().await?;
        let end = ending::stored_end(&stored, &self.stream.policy().current());
        self.stream.restore(stored, Instant::now());
        let (log, gap_notice) = (self.stream.log(), gap_notice(&self.stream, &self.spec));
        self.dedup = ReconnectDedup::restored_from(&log, gap_notice, self.stream.fingerprints());
        self.has_past = true;
        let (key, events) = (self.stream.key(), log.events());
        info!(stream = %key.excerpt(), route = %key.route, events, "stream restored from the store");
        end
    }

    fn refusal_memory(&self, error: &OpenError) -> Duration {
        let requested = error.retry_after().unwrap_or_default();
        // `backoff.max` may be shorter than the minimum for any refusal.
        requested.min(self.stream.policy().current().backoff.max).max(REFUSAL_MEMORY)
    }

    /// Publishes what the source retains, and then sets the phase.
    async fn on_opened(&mut self, continuity: Continuity, retained: Vec<Item>) -> Result<(), Fenced> {
        let has_initial_gap = !self.has_past && self.may_have_missed;
        if self.has_past {
            self.dedup.reconnected(continuity);
        }
        (self.has_past, self.may_have_missed) = (true, false);
        self.connection = Connection::opened_after(self.dedup.upstream_id(), self.failures);
        self.stream.last_activity().record(Instant::now());
        debug!(stream = %self.stream.key().excerpt(), route = %self.stream.key().route, "stream opened");
        if !self.is_flapping {
            self.on_recovered();
        }
        if !retained.is_empty() {
            self.stream.begin_backlog();
            let pause = self.publish(Batch { items: retained, ..Batch::default() }).await?;
            self.pause(pause, 0).await;
            self.publisher.finish_waking();
            self.stream.end_backlog();
        }
        if has_initial_gap {
            // The clients that are connected by now have been told `live`. They read from here on.
            self.spec.observer.gap(Gap::Upstream);
            self.dedup.set_gap_notice(gap_notice(&self.stream, &self.spec));
            self.publisher.publish(vec![self.dedup.initial_gap(Instant::now())]).await?;
            self.publisher.finish_waking();
        }
        self.publisher.opened().await?;
        self.stream.set_phase(Phase::Live);
        Ok(())
    }

    async fn forward(
        &mut self,
        mut items: BoxStream<'static, Result<Batch, Interrupted>>,
    ) -> Result<ConnectionEnd, Fenced> {
        let source = self.spec.source.clone();
        let mut credentials = CredentialsWatch::new(source.credentials_changed());
        let mut turns = FeedTurns::new(TurnOwner::Route(self.stream.key().route.clone()), Instant::now());
        loop {
            turns.yield_if_spent().await;
            // Also asked here, since an upstream that always has data ready never makes the ingest wait.
            if poll_fn(|cx| Poll::Ready(credentials.poll_changed(cx).is_ready())).await {
                return Ok(ConnectionEnd::CredentialsChanged);
            }
            let batch = match items.next().now_or_never() {
                Some(batch) => batch,
                None if self.publisher.is_waking() => {
                    self.publisher.wake_some().await;
                    continue;
                }
                None => {
                    self.publisher.end_burst();
                    turns.end(Instant::now());
                    let mut is_registered = false;
                    let next = poll_fn(|cx| match credentials.poll_changed(cx) {
                        Poll::Ready(()) => Poll::Ready(Err(ConnectionEnd::CredentialsChanged)),
                        // Nothing is read before the turn has come.
                        Poll::Pending if is_registered && turns.needs_queue() => Poll::Ready(Ok(None)),
                        Poll::Pending => {
                            is_registered = true;
                            items.poll_next_unpin(cx).map(|batch| Ok(Some(batch)))
                        }
                    });
                    match next.await {
                        Ok(Some(batch)) => batch,
                        Ok(None) => continue,
                        Err(end) => return Ok(end),
                    }
                }
            };
            let mut gathered = match batch {
                Some(Ok(batch)) => batch,
                Some(Err(interrupted)) => return Ok(ConnectionEnd::Interrupted(interrupted)),
                None => return Ok(ConnectionEnd::Clean),
            };
            turns.spend(gathered.bytes);
            // Publish everything that is ready at once, so that readers take it in one write.
            let mut end = None;
            while !turns.is_spent() {
                match items.next().now_or_never() {
                    Some(Some(Ok(batch))) => {
                        turns.spend(batch.bytes);
                        gathered.items.extend(batch.items);
                        gathered.bytes += batch.bytes;
                        gathered.incomplete = batch.incomplete;
                    }
                    Some(Some(Err(interrupted))) => {
                        end = Some(ConnectionEnd::Interrupted(interrupted));
                        break;
                    }
                    Some(None) => {
                        end = Some(ConnectionEnd::Clean);
                        break;
                    }
                    None => break,
                }
            }
            let window = gathered.window;
            let pause = self.publish(gathered).await?;
            // The connection is over, whatever its credentials are now.
            if let Some(end) = end {
                self.pause(pause, window).await;
                return Ok(end);
            }
            tokio::select! {
                () = self.pause(pause, window) => {}
                () = poll_fn(|cx| credentials.poll_changed(cx)) => return Ok(ConnectionEnd::CredentialsChanged),
            }
        }
    }

    /// Publishes a batch. Returns the time for which the stream must not grow, if memory is short.
    async fn publish(&mut self, batch: Batch) -> Result<Option<Duration>, Fenced> {
        let now = Instant::now();
        let idle_weight = STREAM_WEIGHT + batch.incomplete as u64;
        self.charge.resize(idle_weight + (batch.bytes + batch.window) as u64);
        self.stream.last_activity().record(now);
        self.dedup.set_gap_notice(gap_notice(&self.stream, &self.spec));
        let mut accepted = self.dedup.accept(batch.items, &self.stream.log(), &self.stream.id_minter(), now);
        self.dedup.leave_out_larger(self.publisher.max_entry(), &mut accepted);
        self.spec.observer.received(accepted.events, batch.bytes);
        accepted.gaps.iter().for_each(|gap| self.spec.observer.gap(*gap));
        accepted.oversized.iter().for_each(|id| self.log_oversized(id.as_ref()));
        if accepted.events > 0 {
            self.failures = 0;
            self.connection.has_received_events = true;
            if self.failed_at.take().is_some() {
                self.stream.record_failure(None, false);
            }
            self.on_recovered();
        }
        // Before the entries, since whoever commits them stores the time with them.
        if let Some(retry) = accepted.retry {
            self.retry = Some(retry);
            self.stream.advertise_retry(retry);
        }
        let pause = self.publisher.publish(accepted.entries).await?;
        self.charge.resize(idle_weight);
        Ok(pause)
    }

    /// Lets the stream not grow for this time, if any. The window of its connection may fill meanwhile.
    async fn pause(&mut self, pause: Option<Duration>, window: usize) {
        if pause.is_some() {
            let reading = self.charge.bytes();
            self.charge.resize(reading + window as u64);
            self.publisher.pause(pause).await;
            self.charge.resize(reading);
        }
    }
}

/// Returns the encoder of gaps in the form that the policy in force asks for.
fn gap_notice(stream: &EventStream, spec: &StreamSpec) -> GapNotice {
    (spec.gap_notice)(stream.policy().current().verdict)
}

mod ending;
mod failures;
