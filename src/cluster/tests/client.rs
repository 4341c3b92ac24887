//! A client that comes back with its last id, and notices whatever is lost, repeated, or out of order.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use super::gateway::{Gateway, World};
use super::ledger::Lines;
use super::producer::Proof;
use crate::cluster::engine::LogId;
use crate::stream::{OnGap, Ready, ResumeVerdict, Start, Subscription};

/// A client of one stream.
pub(super) struct Client {
    world: Arc<World>,
    name: usize,
    stream: usize,
    log: LogId,
    last_id: Option<String>,
    /// The number of the next event, if that is known.
    expected: Option<u64>,
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
    Verdict(ResumeVerdict, Option<String>),
    Lines(Bytes),
}

impl Client {
    pub(super) fn new(world: Arc<World>, name: usize, stream: usize) -> Self {
        let log = world.ledger.keys.log_id(&World::key(stream).identity);
        let progress = Arc::default();
        Self { world, name, stream, log, last_id: None, expected: None, progress, events: 0, gaps: 0 }
    }

    /// Returns what is known of its progress.
    pub(super) fn progress(&self) -> Arc<ClientProgress> {
        self.progress.clone()
    }

    /// Reads from this gateway until the response ends, or `leaves` completes.
    pub(super) async fn read(&mut self, gateway: &Arc<Gateway>, leaves: impl Future<Output = ()>) {
        tracing::debug!(client = self.name, run = gateway.run, id = self.last_id, "comes");
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
            Told::Verdict(verdict, id) => self.on_verdict(verdict, id),
            Told::Lines(body) => {
                let lines = Lines::parse(&body);
                if lines.is_gap {
                    self.on_gap("in the stream", self.world.producers[self.stream].proof == Proof::Nothing);
                }
                if let Some(id) = lines.id {
                    self.last_id = Some(id);
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
                self.on_gap(gap.reason(), !has_proof || self.is_behind_log());
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
                let next = || self.world.ledger.number_of(self.log, &id).map(|number| number + 1);
                self.expected = is_known.then(next).flatten();
            }
            self.last_id = Some(id);
        }
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
        match self.world.ledger.number_of(self.log, &id) {
            Some(stored) if stored == number => {}
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
    /// Returns true if the client has everything up to this event that came after it was last told that something is
    /// missing.
    pub(super) fn has_all(&self, newest: u64) -> bool {
        self.last.load(Ordering::Relaxed) == newest || newest <= self.begun_after.load(Ordering::Relaxed)
    }
}

/// One response of a gateway: as `http` does it, without the HTTP.
async fn respond(gateway: Arc<Gateway>, stream: usize, after: Option<String>, told: UnboundedSender<Told>) {
    let Some(mut reader) = gateway.subscribe(stream) else { return };
    tokio::select! {
        () = told.closed() => {}
        () = deliver(&gateway, &mut reader, after.as_deref(), &told) => {}
    }
}

async fn deliver(gateway: &Gateway, reader: &mut Subscription, after: Option<&str>, told: &UnboundedSender<Told>) {
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
    let verdict = match after {
        Some(id) => reader.resume(id, OnGap::Oldest),
        None if gateway.world.random.below(3) == 0 => reader.start_at(Start::Oldest),
        None => reader.start_at(Start::Live),
    };
    let id = reader.current_id().map(|id| id.as_str().to_owned());
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

/// More than the bytes of an event, its ids included.
const LARGEST_FRAME: usize = 100;

/// The time between two looks of a response.
const TICK: Duration = Duration::from_millis(50);

/// `upstreams.NAME.open_timeout`.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
