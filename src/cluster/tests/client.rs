//! A client that comes back with its last id, and notices whatever is lost, repeated, or out of order.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use super::gateway::{Gateway, OPEN_TIMEOUT, World};
use super::ledger::Lines;
use super::producer::{Producer, Proof};
use crate::cluster::engine::LogId;
use crate::sse::EventId;
use crate::stream::{Backlog, OnGap, Ready, ResumeVerdict, Start, Subscription};

/// A client of one stream.
pub(super) struct Client {
    world: Arc<World>,
    name: usize,
    stream: usize,
    /// The log of the gateway that it reads from.
    log: Option<LogId>,
    last_id: Option<String>,
    /// The log in which it got its id.
    id_log: Option<LogId>,
    /// The number of the next event, if that is known.
    expected: Option<u64>,
    /// True if the response begins with the producer's own history.
    is_caught_up: bool,
    progress: Arc<ClientProgress>,
    pub events: u64,
    pub gaps: u64,
}

/// The numbers of events by which a client is known to have everything.
#[derive(Debug, Default)]
pub(super) struct ClientProgress {
    /// The last event.
    last: AtomicU64,
    /// The newest event when the client was last told that it begins at the present or behind a gap.
    begun_after: AtomicU64,
}

/// The answers of a gateway to a client.
enum Told {
    CaughtUp,
    Verdict(ResumeVerdict, Option<String>),
    Lines(Bytes),
}

impl Client {
    pub(super) fn new(world: Arc<World>, name: usize, stream: usize) -> Self {
        let (log, id_log, progress) = (None, None, Arc::default());
        Self {
            world,
            name,
            stream,
            log,
            last_id: None,
            id_log,
            expected: None,
            is_caught_up: false,
            progress,
            events: 0,
            gaps: 0,
        }
    }

    /// Returns what is known of its progress.
    pub(super) fn progress(&self) -> Arc<ClientProgress> {
        self.progress.clone()
    }

    /// Reads from this gateway until the response ends, or `leaves` completes.
    pub(super) async fn read(&mut self, gateway: &Arc<Gateway>, leaves: impl Future<Output = ()>) {
        tracing::debug!(client = self.name, run = gateway.run, id = self.last_id, "comes");
        self.is_caught_up = false;
        self.log = Some(gateway.log(self.stream));
        let (sender, mut told) = unbounded_channel();
        gateway.tasks.spawn("response", respond(gateway.clone(), self.stream, self.last_id.clone(), sender));
        let pause = self.world.random.pause(0, 3000);
        let drains = async {
            gateway.draining().await;
            sleep(pause).await;
        };
        let mut end = std::pin::pin!(async {
            tokio::select! {
                () = gateway.ended() => {}
                () = leaves => {}
                () = drains => {}
            }
        });
        loop {
            let next = tokio::select! {
                biased;
                () = &mut end => break,
                next = told.recv() => next,
            };
            let Some(next) = next else { return };
            self.on_told(next);
        }
        // What was sent before may arrive or not.
        if self.world.random.below(2) == 0 {
            self.read_rest(told);
        }
    }

    fn read_rest(&mut self, mut told: UnboundedReceiver<Told>) {
        while let Ok(next) = told.try_recv() {
            self.on_told(next);
        }
    }

    fn on_told(&mut self, told: Told) {
        match told {
            Told::CaughtUp => self.is_caught_up = true,
            Told::Verdict(verdict, id) => self.on_verdict(verdict, id),
            Told::Lines(body) => {
                let lines = Lines::parse(&body);
                if lines.is_gap {
                    let has_proof = self.world.producers[self.stream].proof != Proof::Nothing;
                    self.on_gap("in the stream", !has_proof || self.is_ahead_of_log());
                }
                if let Some(id) = lines.id {
                    (self.last_id, self.id_log) = (Some(id), self.log);
                }
                if let Some(number) = lines.number {
                    self.on_event(number);
                }
            }
        }
    }

    fn on_verdict(&mut self, verdict: ResumeVerdict, id: Option<String>) {
        tracing::debug!(client = self.name, %verdict, id, "is told");
        match verdict {
            ResumeVerdict::Gap(gap) => {
                // A client that comes back behind a gap that it has not read yet is told by the verdict.
                let has_proof = self.world.producers[self.stream].proof != Proof::Nothing;
                // Gateways whose logs are named with another key share nothing with those before.
                let is_elsewhere = self.id_log != self.log;
                self.on_gap(gap.reason(), !has_proof || is_elsewhere || self.is_behind_log());
            }
            ResumeVerdict::Live | ResumeVerdict::Replay { .. } if self.last_id.is_some() => {
                self.wrong(format!("told {verdict} with the id {:?}", self.last_id));
            }
            ResumeVerdict::Live => {
                self.expected = None;
                self.begins_at_present();
            }
            ResumeVerdict::Replay { .. } => self.expected = None,
            ResumeVerdict::Resumed { .. } => {}
        }
        if let Some(id) = id {
            // What was evicted may have ended with another gap. Only who continues after its own id, or at the end, knows
            // what comes next.
            let is_known = verdict == ResumeVerdict::Live || self.last_id.as_ref() == Some(&id);
            if !matches!(verdict, ResumeVerdict::Resumed { .. }) {
                let next = || self.number_of(&id).map(|number| number + 1);
                self.expected = is_known.then(next).flatten();
            }
            (self.last_id, self.id_log) = (Some(id), self.log);
        }
    }

    /// Returns the number of the event that an id names in the log.
    fn number_of(&self, id: &str) -> Option<u64> {
        self.world.ledger.number_of(self.log?, id)
    }

    /// Returns true if its last event came from the producer's own history and is not in the log. A log without an id to ask
    /// after cannot know that nothing is missing between its events, and tells its readers. Only this client has them.
    fn is_ahead_of_log(&self) -> bool {
        self.is_caught_up && self.last_id.as_ref().is_some_and(|id| self.number_of(id).is_none())
    }

    /// Returns true if so much was produced since the client's last event that logs may have evicted it.
    fn is_behind_log(&self) -> bool {
        let (newest, retention) = (self.world.producers[self.stream].newest(), self.world.policy.retention);
        let kept = (retention.events as u64).min((retention.bytes / LARGEST_FRAME) as u64);
        self.expected.is_some_and(|expected| newest >= expected + kept / 2)
    }

    fn on_gap(&mut self, what: &str, is_honest: bool) {
        self.gaps += 1;
        if !is_honest && self.expected.is_some() && !self.world.ledger.has_lost() {
            self.wrong(format!("told a gap ({what}) though nothing was lost"));
        }
        self.expected = None;
        self.begins_at_present();
    }

    fn begins_at_present(&self) {
        self.progress.begun_after.store(self.world.producers[self.stream].newest(), Ordering::Relaxed);
    }

    fn on_event(&mut self, number: u64) {
        if let Some(expected) = self.expected
            && expected != number
        {
            self.wrong(format!("expected event {expected} and got {number}"));
        }
        self.expected = Some(number + 1);
        self.events += 1;
        self.progress.last.store(number, Ordering::Relaxed);
        tracing::debug!(client = self.name, number, id = self.last_id, "event");
        let id = self.last_id.clone().unwrap_or_default();
        match self.number_of(&id) {
            Some(stored) if stored == number => {}
            // It comes from the producer's own history.
            None if self.is_caught_up && id == Producer::id(number) => {}
            Some(stored) => self.wrong(format!("event {number} came as {id}, which is event {stored}")),
            None => self.wrong(format!("event {number} ({id}) was told and is not stored")),
        }
    }

    /// Checks that it has everything that came after it was last told that something is missing.
    pub(super) fn check_end(&self) {
        let newest = self.world.producers[self.stream].newest();
        if !self.progress.has_all(newest) {
            self.wrong(format!("the newest event is {newest}, the last that came is {:?}", self.progress.last));
        }
    }

    fn wrong(&self, what: String) {
        let (at, name, stream) = (Instant::now(), self.name, self.stream);
        let since = at.duration_since(self.world.begun).as_secs_f64();
        self.world.ledger.wrong(format!("{since:.3} s, client {name} of stream {stream}: {what}"));
    }
}

impl ClientProgress {
    /// Returns true if this event is the last one that the client has.
    pub(super) fn has_last(&self, newest: u64) -> bool {
        self.last.load(Ordering::Relaxed) == newest
    }

    /// Returns true if the client has everything up to this event that came after it was last told that something is
    /// missing.
    pub(super) fn has_all(&self, newest: u64) -> bool {
        self.has_last(newest) || newest <= self.begun_after.load(Ordering::Relaxed)
    }
}

/// One response of a gateway: as `http` does it, without the HTTP.
async fn respond(gateway: Arc<Gateway>, stream: usize, after: Option<String>, told: UnboundedSender<Told>) {
    let Some(mut reader) = gateway.subscribe(stream) else { return };
    tokio::select! {
        () = told.closed() => {}
        () = deliver(&gateway, &mut reader, stream, after.as_deref(), &told) => {}
    }
}

async fn deliver(
    gateway: &Gateway,
    reader: &mut Subscription,
    stream: usize,
    after: Option<&str>,
    told: &UnboundedSender<Told>,
) {
    let begun = Instant::now();
    loop {
        match timeout(TICK, reader.opened(false)).await {
            Ok(Ok(())) => break,
            Ok(Err(_)) => return,
            Err(_) if begun.elapsed() >= OPEN_TIMEOUT && reader.has_joined() => break,
            Err(_) => {}
        }
    }
    if let Some(id) = after
        && !reader.can_resume(id)
        && let Some(shared) = reader.stream().shared().cloned()
    {
        let mut look = shared.look();
        while timeout(TICK, &mut look).await.is_err() && !reader.can_resume(id) {
            if let Ok(Err(_)) = timeout(Duration::ZERO, reader.opened(false)).await {
                return;
            }
        }
    }
    if let Some(id) = after {
        while begun.elapsed() < OPEN_TIMEOUT && poll_fn(|cx| Poll::Ready(reader.poll_for_id(cx, id).is_pending())).await
        {
            sleep(TICK).await;
        }
    }
    let backlog = match after {
        Some(id) if !reader.can_resume(id) => catch_up(gateway, reader, stream, id, begun + OPEN_TIMEOUT).await,
        Some(_) | None => None,
    };
    let (verdict, id) = match (after, backlog) {
        (Some(id), Some(backlog)) => {
            let _ = told.send(Told::CaughtUp);
            (reader.resume_from_backlog(backlog), Some(id.to_owned()))
        }
        (Some(id), None) => (reader.resume(id, OnGap::Oldest), current_id(reader)),
        (None, _) if gateway.world.random.below(3) == 0 => (reader.start_at(Start::Oldest), current_id(reader)),
        (None, _) => (reader.start_at(Start::Live), current_id(reader)),
    };
    let _ = told.send(Told::Verdict(verdict, id));
    loop {
        match reader.ready().await {
            Ready::Entries => {
                let Ok(batch) = reader.take(1 << 20, 1000) else { return };
                batch.frames.iter().for_each(|frame| {
                    let _ = told.send(Told::Lines(frame.body()));
                });
            }
            Ready::Complete | Ready::Incomplete(_) | Ready::Refused => return,
        }
    }
}

/// Asks the producer for what came after an id that the log does not have, if the producer gave that id.
async fn catch_up(
    gateway: &Gateway,
    reader: &Subscription,
    stream: usize,
    id: &str,
    deadline: Instant,
) -> Option<Backlog> {
    let read_through = gateway.read_through.as_ref().filter(|_| id.starts_with('n'))?;
    let (id, source) = (EventId::new(id.to_owned()).ok()?, gateway.history(stream));
    read_through.catch_up_when_connected(&gateway.tasks, reader.stream(), &id, None, &source, deadline).await
}

fn current_id(reader: &Subscription) -> Option<String> {
    reader.current_id().map(|id| id.as_str().to_owned())
}

/// More than the bytes of an event, its ids included.
const LARGEST_FRAME: usize = 100;

/// The time between two looks of a response.
const TICK: Duration = Duration::from_millis(50);
