//! A stream whose request must not be repeated, under schedules drawn from seeds: whatever the engine and the gateways do,
//! only one of them sends its request, and every reader has a beginning of its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{StreamExt, unfold};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::gateway::{Gateway, World};
use crate::cluster::fake::{Cut, Faults};
use crate::runtime::tasks::Tasks;
use crate::sse::{Event, EventId, Item};
use crate::stream::{
    Attempts, Batch, Continuity, EventSource, Ids, Incompletion, OpenError, OpenOutcome, Opened, Phase, Ready, Start,
    Subscription,
};

/// The request of one gateway's client.
struct Request {
    world: Arc<World>,
    is_unsent: AtomicBool,
    /// The requests of all gateways that were sent.
    sent: Arc<AtomicU64>,
}

impl EventSource for Request {
    fn open(&self, _after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        async move {
            if !self.is_unsent.swap(false, Ordering::Relaxed) {
                return Err(OpenError::NotFound("sent before".to_owned()));
            }
            self.sent.fetch_add(1, Ordering::Relaxed);
            let world = self.world.clone();
            sleep(world.random.pause(0, 500)).await;
            let items = unfold(1, move |number| {
                let world = world.clone();
                async move {
                    sleep(world.random.pause(0, 800)).await;
                    let event = Item::Event(Event { kind: String::new(), data: number.to_string(), id: None });
                    (number <= EVENTS).then(|| (Ok(Batch { items: vec![event], ..Batch::default() }), number + 1))
                }
            });
            Ok(OpenOutcome::Stream(Opened {
                retained: Vec::new(),
                items: items.boxed(),
                continuity: Continuity::Unknown,
            }))
        }
        .boxed()
    }

    fn can_open(&self) -> bool {
        self.is_unsent.load(Ordering::Relaxed)
    }

    fn discard(&self) {
        self.is_unsent.store(false, Ordering::Relaxed);
    }
}

/// The findings of a schedule.
#[derive(Debug, Default)]
struct Outcome {
    wrong: Vec<String>,
    complete: u64,
    incomplete: u64,
}

fn run(seed: u64) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(run_schedule(seed))
}

async fn run_schedule(seed: u64) -> Outcome {
    let world = World::of_answers(seed);
    let gateways: Vec<_> = (0..3).map(|_| Gateway::start(&world, 0)).collect();
    let (sent, outcome) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Outcome>>::default());
    let clients = Tasks::default();
    let end = Instant::now() + Duration::from_secs(120);
    for client in 0..4 {
        let (world, sent, outcome) = (world.clone(), sent.clone(), outcome.clone());
        let gateway = gateways[client % gateways.len()].clone();
        clients.spawn("client", async move {
            sleep(world.random.pause(0, 3000)).await;
            while Instant::now() < end && gateway.is_alive() {
                // Some only know the URL.
                let is_unsent = AtomicBool::new(world.random.below(3) > 0);
                let request = Arc::new(Request { world: world.clone(), is_unsent, sent: sent.clone() });
                if let Some(mut subscription) = gateway.subscribe_to(0, Ids::Fill, Attempts::Once, request) {
                    let read = read(&mut subscription);
                    tokio::select! {
                        told = read => told.note(&mut outcome.lock()),
                        () = gateway.ended() => return,
                        () = sleep(world.random.pause(1000, 60_000)) => {}
                    }
                }
                sleep(world.random.pause(100, 2000)).await;
            }
        });
    }
    world.engine.set_faults(Faults::drawn(&world.random));
    for _ in 0..4 {
        sleep(world.random.pause(200, 6000)).await;
        let gateway = &gateways[world.random.below(3) as usize];
        match world.random.below(4) {
            0 if gateways.iter().filter(|gateway| gateway.is_alive()).count() > 1 => gateway.kill(),
            1 => {
                world.engine.cut(gateway.node, Cut::Both, world.random.pause(0, 4000));
                sleep(world.random.pause(200, 15_000)).await;
                world.engine.mend(gateway.node, world.random.pause(0, 1000));
            }
            2 => {
                gateway.suspend(true);
                sleep(world.random.pause(200, 8000)).await;
                if gateway.is_alive() {
                    gateway.suspend(false);
                }
            }
            _ => world.engine.depose_leader(world.random.pause(200, 3000)),
        }
    }
    world.engine.set_faults(Faults::default());
    clients.wait(Duration::from_secs(3600)).await;
    let mut outcome = std::mem::take(&mut *outcome.lock());
    let sent = sent.load(Ordering::Relaxed);
    if sent > 1 {
        outcome.wrong.push(format!("{sent} requests were sent"));
    }
    outcome
}

/// The answer that a reader was told: the numbers of its events, and the end.
struct ToldAnswer {
    numbers: Vec<u64>,
    phase: Option<Phase>,
}

impl ToldAnswer {
    fn note(self, outcome: &mut Outcome) {
        let Self { numbers, phase } = self;
        if !numbers.iter().copied().eq(1..=numbers.len() as u64) {
            outcome.wrong.push(format!("told {numbers:?}"));
        }
        match phase {
            Some(Phase::Complete) if numbers.len() as u64 != EVENTS => {
                outcome.wrong.push(format!("told {} events and that they were all", numbers.len()));
            }
            Some(Phase::Complete) => outcome.complete += 1,
            // An owner that hears of no reader for its linger stops the answer: the word of one may be lost.
            Some(Phase::Incomplete(Incompletion::Broken | Incompletion::Stopped)) => outcome.incomplete += 1,
            Some(Phase::Refused(_)) | None => {}
            Some(other) => outcome.wrong.push(format!("ended as {other:?}")),
        }
    }
}

/// Reads from the beginning to the end.
async fn read(reader: &mut Subscription) -> ToldAnswer {
    let mut numbers = Vec::new();
    loop {
        match timeout(Duration::from_secs(1), reader.opened(false)).await {
            Ok(Ok(())) => break,
            Ok(Err(_)) => return ToldAnswer { numbers, phase: None },
            Err(_) => {}
        }
    }
    reader.start_at(Start::Oldest);
    loop {
        match reader.ready().await {
            Ready::Entries => {
                let Ok(batch) = reader.take(usize::MAX, u64::MAX) else {
                    return ToldAnswer { numbers, phase: None };
                };
                let text = batch
                    .frames
                    .iter()
                    .map(|frame| String::from_utf8_lossy(&frame.body()).into_owned())
                    .collect::<String>();
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                numbers.extend(data.filter_map(|data| data.parse::<u64>().ok()));
            }
            Ready::Complete | Ready::Incomplete(_) | Ready::Refused => {
                let phase = Some(reader.stream().progress().phase);
                return ToldAnswer { numbers, phase };
            }
        }
    }
}

#[test]
fn one_request_is_sent_whatever_the_engine_and_the_gateways_do() {
    let (mut complete, mut incomplete) = (0, 0);
    for seed in 0..super::number("RILLGATE_ANSWERS").unwrap_or(60) {
        let outcome = run(seed);
        assert!(outcome.wrong.is_empty(), "seed {seed}: {:?}", outcome.wrong);
        complete += outcome.complete;
        incomplete += outcome.incomplete;
    }

    println!("{complete} readers had the whole answer, {incomplete} were told that it broke off");
    assert!(complete > 50 && incomplete > 50, "{complete} {incomplete}");
}

/// The events of the answer.
const EVENTS: u64 = 20;
