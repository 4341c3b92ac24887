//! Keeps one stream fed: open, copy, back off, open again.
//!
//! There is one ingest for each stream, and so one upstream connection. It ends when the stream is complete, refused, or
//! has had no reader for the linger. Trouble is logged once per change of state. Does not know who reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tracing::{debug, info, warn};

use super::connection::{Burst, Connected};
use super::dedup::ReconnectDedup;
use super::source::{Batch, Interrupted, OpenError, Opened};
use super::turn_budget::TurnBudget;
use crate::runtime::backoff::Backoff;
use crate::runtime::jitter;
use crate::sse::EventId;
use crate::stream::event_stream::EventStream;
use crate::stream::log::{Gap, OnEnd};
use crate::stream::log_memory::LogMemory;
use crate::stream::progress::Phase;
use crate::stream::read::WakeSweep;
use crate::stream::spec::StreamSpec;

/// The least that an upstream's own `retry:` counts for here: doubling `retry: 0` would be a hot loop for ever.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

/// A burst of this part of the log is followed by a pause in which readers take it.
const BURST_SHARE: usize = 4;

/// Long enough for readers to be scheduled, short enough to take some 100,000 events a second into a log of 1000.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// How long a refusal at the first open is remembered.
pub const REFUSAL_MEMORY: Duration = Duration::from_secs(1);

/// The same where a client had been answered before: it has to come back for the status.
pub const LATE_REFUSAL_MEMORY: Duration = Duration::from_secs(30);

/// Feeds one stream.
pub struct Ingest {
    stream: Arc<EventStream>,
    /// The bound of all logs.
    memory: LogMemory,
    spec: StreamSpec,
    intake: ReconnectDedup,
    backoff: Backoff,
    /// Attempts since the last event came.
    failures: u32,
    /// Whether a connection has ever been open, so that the next one has to fit to the log and is tried whatever it meets.
    has_past: bool,
    burst: Burst,
    /// Readers are woken in parts, so that what comes meanwhile is not kept waiting behind all of them.
    round: WakeSweep,
    trouble: Option<String>,
    connected: Connected,
    /// The last connection was short and brought nothing: that the next one opens is no change yet.
    is_flapping: bool,
    /// Whether it has been said that the upstream ends its responses after some events, as one that is polled does.
    is_polled: bool,
    /// Whether it has been said that events are too large.
    has_skipped: bool,
    /// Whether it has been said that the upstream ends its responses without a new id.
    is_fruitless: bool,
    /// An attempt before the first connection may have had events.
    may_have_missed: bool,
    /// The last error, and the upstream's id in force then, if no event has come since.
    failed: Option<(String, Option<EventId>)>,
}

/// How much of an id stands in the log.
const LONGEST_LOGGED_ID: usize = 128;

/// How a stream's feeding ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The upstream has said all.
    Complete {
        /// For so long already.
        ago: Duration,
    },
    /// The upstream refused the first attempt; to be remembered for this long.
    Refused(Duration),
}

impl Ingest {
    /// For a stream that has just been made.
    pub fn new(stream: Arc<EventStream>, spec: StreamSpec, memory: LogMemory) -> Self {
        let (intake, backoff, burst) =
            (ReconnectDedup::new(spec.tell, stream.fingerprints()), spec.backoff, Burst::default());
        let connected = Connected::after(None, 0);
        Self {
            stream,
            memory,
            spec,
            intake,
            backoff,
            failures: 0,
            has_past: false,
            burst,
            round: WakeSweep::default(),
            trouble: None,
            connected,
            is_flapping: false,
            is_polled: false,
            has_skipped: false,
            is_fruitless: false,
            may_have_missed: false,
            failed: None,
        }
    }

    /// Feeds the stream until there is nothing more to feed it with. Dropping it closes the upstream connection.
    pub async fn run(mut self) -> Finished {
        if let Some(ago) = self.resume().await {
            self.stream.enter(Phase::Complete);
            return Finished::Complete { ago };
        }
        loop {
            // A 429 or a 503 may say how long it is to be left alone.
            let mut least = Duration::ZERO;
            let outcome = self.spec.source.open(self.intake.upstream_id()).await;
            self.spec.observer.connected(outcome.as_ref().map(|_| ()));
            match outcome {
                Ok(opened) => {
                    self.opened(&opened);
                    let copied = self.copy(opened).await;
                    // Nobody is left out of the round that was under way.
                    self.stream.audience().finish(&mut self.round);
                    if copied == Err(Interrupted::Renewed) {
                        let key = self.stream.key();
                        info!(stream = %key, route = %key.route, "upstream credentials changed, connecting again");
                        self.stream.enter(Phase::Retrying(None));
                        continue;
                    }
                    let is_short = self.connected.since.elapsed() < self.spec.backoff.max;
                    self.is_flapping = is_short && !self.connected.has_brought;
                    match copied {
                        Ok(()) if self.stream.policy().on_end == OnEnd::Complete => return self.complete(),
                        Ok(()) => self.ended(is_short),
                        Err(interrupted) => self.troubled(interrupted.to_string(), true),
                    }
                    self.stream.enter(Phase::Retrying(None));
                }
                Err(OpenError::Complete) => return self.complete(),
                Err(error) if !self.has_past && !error.is_down() && !self.spec.is_always_open => {
                    warn!(stream = %self.stream.key(), route = %self.stream.key().route, %error, "stream refused");
                    let memory = self.refusal_memory(&error);
                    self.stream.enter(Phase::Refused(Arc::new(error)));
                    // Looked at after: whoever answers early looks at the phase once more.
                    return Finished::Refused(match self.stream.is_answered_early() {
                        true => memory.max(LATE_REFUSAL_MEMORY),
                        false => memory,
                    });
                }
                Err(error) => {
                    least = error.retry_after().unwrap_or_default();
                    // Of these the request may have reached the producer, and its answer may have held events.
                    self.may_have_missed |= matches!(error, OpenError::Silent(_) | OpenError::Dropped(_));
                    let is_answered = !error.is_down() && !matches!(error, OpenError::Busy { .. });
                    self.troubled(error.to_string(), is_answered);
                    self.stream.enter(Phase::Retrying(Some(Arc::new(error))));
                }
            }
            let delay = self.backoff.delay(self.failures, jitter::share()).max(least);
            self.failures = self.failures.saturating_add(1);
            debug!(stream = %self.stream.key(), delay_ms = delay.as_millis(), "next attempt");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.spec.source.renewed() => {}
            }
        }
    }

    /// Goes on where the stream stopped in an earlier process. Returns for how long it has been complete, if it is.
    async fn resume(&mut self) -> Option<Duration> {
        let kept = self.stream.journal()?.past().await?;
        let complete_for = kept.complete_for;
        self.stream.resume(kept, Instant::now());
        let log = self.stream.log();
        self.intake = ReconnectDedup::after(&log, self.spec.tell, self.stream.fingerprints());
        self.has_past = true;
        let (key, events) = (self.stream.key(), log.events());
        info!(stream = %key, route = %key.route, events, "stream goes on from the store");
        complete_for
    }

    fn refusal_memory(&self, error: &OpenError) -> Duration {
        match error {
            // `backoff.max` may be shorter than what any refusal is remembered for.
            OpenError::Busy { retry_after: Some(wanted) } => (*wanted).min(self.spec.backoff.max).max(REFUSAL_MEMORY),
            _ => REFUSAL_MEMORY,
        }
    }

    fn opened(&mut self, opened: &Opened) {
        if self.has_past {
            self.intake.reconnected(opened.is_continued);
        } else if self.may_have_missed {
            // Who is here by now has been told that it reads live.
            self.spec.observer.gap(Gap::Upstream);
            self.stream.publish([self.intake.missed(Instant::now())]);
        }
        (self.has_past, self.may_have_missed) = (true, false);
        self.connected = Connected::after(self.intake.upstream_id(), self.failures);
        self.stream.heard().note(Instant::now());
        debug!(stream = %self.stream.key(), route = %self.stream.key().route, "stream opened");
        if !self.is_flapping {
            self.recovered();
        }
        self.stream.enter(Phase::Live);
    }

    fn recovered(&mut self) {
        self.is_flapping = false;
        if self.trouble.take().is_some() {
            info!(stream = %self.stream.key(), route = %self.stream.key().route, "upstream is back");
        }
    }

    async fn copy(&mut self, opened: Opened) -> Result<(), Interrupted> {
        let mut items = opened.items;
        let mut turn = TurnBudget::default();
        loop {
            turn.give_way().await;
            let batch = match items.next().now_or_never() {
                Some(batch) => batch,
                None if !self.round.is_over() => {
                    self.ring_on().await;
                    continue;
                }
                None => {
                    self.burst = Burst::default();
                    turn.has_waited();
                    items.next().await
                }
            };
            let Some(batch) = batch else { break };
            let mut gathered = batch?;
            turn.spend(&gathered);
            // Everything that is there already goes out together: readers then take it in one write.
            let mut outcome = Ok(());
            let mut ended = false;
            while !turn.is_over() {
                match items.next().now_or_never() {
                    Some(Some(Ok(batch))) => {
                        turn.spend(&batch);
                        gathered.items.extend(batch.items);
                        gathered.bytes += batch.bytes;
                    }
                    Some(Some(Err(interrupted))) => {
                        outcome = Err(interrupted);
                        break;
                    }
                    Some(None) => {
                        ended = true;
                        break;
                    }
                    None => break,
                }
            }
            self.publish(gathered).await;
            outcome?;
            if ended {
                break;
            }
        }
        Ok(())
    }

    async fn publish(&mut self, batch: Batch) {
        let now = Instant::now();
        self.stream.heard().note(now);
        let taken = self.intake.take(batch.items, &self.stream.log(), &self.stream.minter(), now);
        self.spec.observer.received(taken.events, batch.bytes);
        taken.gaps.iter().for_each(|gap| self.spec.observer.gap(*gap));
        taken.skipped.iter().for_each(|id| self.skipped(id.as_ref()));
        if let Some(retry) = taken.retry {
            self.backoff.initial = retry.max(SHORTEST_RETRY).min(self.spec.backoff.max);
            self.stream.advertise_retry(retry);
        }
        if taken.events > 0 {
            self.failures = 0;
            self.connected.has_brought = true;
            if self.failed.take().is_some() {
                self.stream.note_trouble(None, false);
            }
            self.recovered();
        }
        let retention = self.stream.policy().retention;
        let (most_events, most_bytes) = (retention.events.div_ceil(BURST_SHARE), retention.bytes / BURST_SHARE);
        let mut portion = Vec::new();
        for entry in taken.entries {
            self.burst.events += 1;
            self.burst.bytes += entry.frame.len();
            portion.push(entry);
            // More at once than the log holds would be forgotten before the quickest reader could take it.
            if self.burst.events >= most_events || self.burst.bytes >= most_bytes {
                self.stream.publish(portion.drain(..));
                self.memory.relieve();
                tokio::time::sleep(BURST_PAUSE).await;
                self.burst = Burst::default();
            }
        }
        let is_new = self.stream.append(portion);
        self.memory.relieve();
        if is_new {
            self.stream.audience().begin(&mut self.round);
            self.ring_on().await;
        }
    }

    /// Wakes some readers, and has them run where there are more to be woken.
    async fn ring_on(&mut self) {
        self.stream.audience().ring_on(&mut self.round);
        if self.round.is_over() {
            return;
        }
        tokio::task::yield_now().await;
        // All have been woken since it was there before, and those who run elsewhere have had the time of a pause.
        if self.round.is_around() && self.burst.since.elapsed() >= BURST_PAUSE {
            self.burst = Burst::default();
        }
    }

    /// Once aloud: it may be each event of the producer's.
    fn skipped(&mut self, id: Option<&EventId>) {
        let key = self.stream.key();
        let id: String = id.map_or("-", EventId::as_str).chars().take(LONGEST_LOGGED_ID).collect();
        match std::mem::replace(&mut self.has_skipped, true) {
            false => warn!(stream = %key, route = %key.route, %id, "left out an event that is larger than max_event"),
            true => debug!(stream = %key, %id, "left out an event that is larger than max_event"),
        }
    }

    fn complete(&mut self) -> Finished {
        let mark = self.intake.end_mark(&self.stream.log(), &self.stream.minter(), Instant::now());
        self.stream.publish(mark);
        info!(stream = %self.stream.key(), route = %self.stream.key().route, "stream complete");
        self.stream.enter(Phase::Complete);
        Finished::Complete { ago: Duration::ZERO }
    }

    /// The upstream ended its response cleanly and is asked again.
    fn ended(&mut self, is_short: bool) {
        let key = self.stream.key();
        let is_proved = self.intake.upstream_id().is_some_and(|id| Some(id) != self.connected.after);
        if !is_proved {
            self.spec.observer.fruitless_end();
            if is_short {
                // It may well have said the same as before: asked at once, it would be asked for ever.
                self.failures = self.connected.failures;
            }
        }
        if !self.connected.has_brought {
            return self.troubled("the upstream ended its response".to_owned(), false);
        }
        if !is_proved && !std::mem::replace(&mut self.is_fruitless, true) {
            warn!(
                stream = %key, route = %key.route,
                "upstream ends its responses without a new id, asking again after growing delays; \
                 if its streams have an end, the route wants on_end = \"complete\""
            );
            self.is_polled = true;
            return;
        }
        // Once: a producer that is polled does it after every few events, and that is how it works.
        match std::mem::replace(&mut self.is_polled, true) {
            false => {
                info!(stream = %key, route = %key.route, "upstream ends its responses, connecting again each time")
            }
            true => debug!(stream = %key, "upstream ended its response"),
        }
    }

    /// `can_be_stuck`: where the upstream is away, or has an end, it is not for what it was asked.
    fn troubled(&mut self, what: String, can_be_stuck: bool) {
        let failed = (what.clone(), self.intake.upstream_id());
        let is_stuck = can_be_stuck && self.failed.as_ref() == Some(&failed);
        if is_stuck && !self.stream.condition().is_stuck {
            let (key, after) = (self.stream.key(), failed.1.as_ref().map_or("-", EventId::as_str));
            let after: String = after.chars().take(LONGEST_LOGGED_ID).collect();
            warn!(stream = %key, route = %key.route, error = %what, %after, "stream stuck: the same error at the same place");
        }
        self.failed = Some(failed);
        self.stream.note_trouble(Some(&what), is_stuck);
        if self.trouble.as_ref() != Some(&what) {
            let key = self.stream.key();
            warn!(stream = %key, route = %key.route, error = %what, "upstream lost, reconnecting");
            self.trouble = Some(what);
        }
    }
}
