//! One schedule: gateways that are killed, suspended, cut off and drained, while producers produce and clients read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientProgress};
use super::gateway::{Gateway, KEYS, World};
use crate::cluster::fake::{Cut, Faults, Mutant};
use crate::cluster::following::QUIET_TIME;
use crate::cluster::owning::BEHIND_PATIENCE;
use crate::runtime::tasks::Tasks;
use crate::stream::OnEnd;

/// The outcome of a schedule.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The violations that were found.
    pub wrong: Vec<String>,
    pub events: u64,
    pub gaps: u64,
    pub faults: u64,
}

/// A place for gateways, one after the other.
struct Slot {
    gateway: Arc<Gateway>,
    is_busy: bool,
}

thread_local! {
    static BEGUN: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// Returns the time since the schedule of this thread began.
pub(super) fn time() -> Duration {
    BEGUN
        .get()
        .filter(|_| tokio::runtime::Handle::try_current().is_ok())
        .map(|begun| begun.elapsed())
        .unwrap_or_default()
}

struct Schedule {
    world: Arc<World>,
    slots: Arc<Mutex<Vec<Slot>>>,
    stage: watch::Sender<Stage>,
    tasks: Tasks,
}

/// The stages of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Producers produce, and clients move from gateway to gateway.
    Moving,
    /// Clients stay where they are, or come back there.
    Staying,
    /// Producers produce an event now and then.
    Quiet,
    /// Clients leave.
    Over,
}

/// Runs the schedule of this seed.
pub(super) fn run(seed: u64, mutant: Mutant) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(run_schedule(seed, mutant))
}

async fn run_schedule(seed: u64, mutant: Mutant) -> Outcome {
    let world = World::new(seed, mutant);
    BEGUN.set(Some(world.begun));
    tracing::info!(lease = ?world.lease, linger = ?world.policy.linger, producers = ?world.producers.iter().map(|producer| (producer.proof, producer.ids)).collect::<Vec<_>>(), "schedule");
    let keys = world.first_keys.unwrap_or_default();
    let slots = (0..GATEWAYS).map(|_| Slot { gateway: Gateway::start(&world, keys), is_busy: false }).collect();
    let (slots, stage) = (Arc::new(Mutex::new(slots)), watch::Sender::new(Stage::Moving));
    let schedule = Schedule { world: world.clone(), slots, stage, tasks: Tasks::default() };
    let faulty = world.random.pause(15_000, 45_000);
    for producer in &world.producers {
        let (producer, quiet) = (producer.clone(), schedule.reached(Stage::Quiet));
        schedule.tasks.spawn("producer", async move {
            tokio::select! {
                () = producer.produce() => {}
                () = quiet => {}
            }
        });
    }
    let clients: Arc<Mutex<Vec<Client>>> = Arc::default();
    let mut progress = Vec::new();
    for stream in 0..world.producers.len() {
        for number in 0..2 + world.random.below(3) {
            let client = Client::new(world.clone(), stream * 10 + number as usize, stream);
            progress.push((stream, client.progress()));
            schedule.spawn_client(client, clients.clone());
        }
    }
    let drawn = Faults::drawn(&world.random);
    world.engine.set_faults(drawn);
    let faults = schedule.run_faults(Instant::now() + faulty).await;
    world.engine.set_faults(Faults::default());
    world.producers.iter().for_each(|producer| producer.heal());
    schedule.run_to_end(&progress).await;
    let mut outcome = Outcome { faults, ..Outcome::default() };
    for client in clients.lock().drain(..) {
        client.check_end();
        outcome.events += client.events;
        outcome.gaps += client.gaps;
    }
    schedule.check_connections(drawn);
    outcome.wrong = world.ledger.take_wrong();
    outcome
}

impl Schedule {
    /// Completes when this stage is reached.
    fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static {
        let mut stages = self.stage.subscribe();
        async move { drop(stages.wait_for(|reached| *reached >= stage).await) }
    }

    /// Goes through the stages after the faults. The last but one ends when everybody has everything, or after a time in
    /// which everybody must.
    async fn run_to_end(&self, clients: &[(usize, Arc<ClientProgress>)]) {
        sleep(MOVING).await;
        self.stage.send_replace(Stage::Staying);
        sleep(STAYING).await;
        self.stage.send_replace(Stage::Quiet);
        let producers = &self.world.producers;
        // A gap is told with the event after it, whoever begins at the present waits for one, and what is produced while nobody
        // reads is told as missing with the next one. So the second event is the one that everybody must get, though none
        // follows: it comes when everybody has the first one, or streams are read again.
        let have = |is_all: fn(&ClientProgress, u64) -> bool| {
            clients.iter().all(|(stream, client)| is_all(client, producers[*stream].newest()))
        };
        for (patience, is_all) in
            [(HEALING, ClientProgress::has_last as fn(&_, _) -> _), (QUIET, ClientProgress::has_all)]
        {
            producers.iter().for_each(|producer| producer.emit());
            let begun = Instant::now();
            while begun.elapsed() < patience && !have(is_all) {
                sleep(PAUSE).await;
            }
        }
        if self.world.policy.on_end == OnEnd::Complete {
            producers.iter().for_each(|producer| producer.end());
        }
        // What comes twice comes soon after.
        sleep(PAUSE).await;
        self.stage.send_replace(Stage::Over);
        self.tasks.wait(Duration::from_secs(3600)).await;
    }

    /// Has a client read, move and come back.
    fn spawn_client(&self, mut client: Client, done: Arc<Mutex<Vec<Client>>>) {
        let (world, slots, stages) = (self.world.clone(), self.slots.clone(), self.stage.subscribe());
        let reached = move |stage| {
            let mut stages = stages.clone();
            async move { drop(stages.wait_for(|reached| *reached >= stage).await) }
        };
        self.tasks.spawn("client", async move {
            sleep(world.random.pause(0, 5000)).await;
            while reached(Stage::Over).now_or_never().is_none() {
                let gateway = {
                    let slots = slots.lock();
                    slots[world.random.below(slots.len() as u64) as usize].gateway.clone()
                };
                if gateway.is_alive() && !gateway.is_draining() {
                    let stay = world.random.pause(500, 20_000);
                    let leaves = async {
                        tokio::select! {
                            biased;
                            () = reached(Stage::Staying) => reached(Stage::Over).await,
                            () = sleep(stay) => {}
                        }
                    };
                    client.read(&gateway, leaves).await;
                }
                sleep(world.random.pause(0, 800)).await;
            }
            done.lock().push(client);
        });
    }

    /// Causes one fault after the other. Completes when all of them are over.
    async fn run_faults(&self, end: Instant) -> u64 {
        let world = &self.world;
        let (mut loses, deposes) = (world.random.below(6) == 0, world.random.below(4) == 0);
        // Marks matter where sequences are used again.
        loses |= world.mutant == Mutant::NoMarks;
        let under_way = Tasks::default();
        let mut faults = 0;
        loop {
            sleep(world.random.pause(200, 6000)).await;
            if Instant::now() >= end {
                break;
            }
            // An engine that loses what it acknowledged does so often.
            let kind = if loses && world.random.below(3) == 0 { 0 } else { world.random.below(10) };
            let (pause, noticed) = (world.random.pause(200, 15_000), world.random.pause(0, 4000));
            faults += 1;
            tracing::info!(kind, ?pause, ?noticed, "fault");
            match kind {
                0 if loses => {
                    world.ledger.loses();
                    match world.random.below(3) {
                        0 => world.engine.forget(world.random.pause(10, 5000)),
                        1 => world.engine.forget_last(1 + world.random.below(6) as usize),
                        _ => under_way.spawn("loss", lose_a_claim(world.clone())),
                    }
                }
                1 if deposes => {
                    world.ledger.loses();
                    world.engine.depose_leader(world.random.pause(200, 4000));
                }
                2 => {
                    let nodes: Vec<_> = self.slots.lock().iter().map(|slot| slot.gateway.node).collect();
                    nodes.iter().for_each(|node| world.engine.cut(*node, Cut::Both, noticed));
                    sleep(pause).await;
                    nodes.iter().for_each(|node| world.engine.mend(*node, world.random.pause(0, 1000)));
                }
                _ => {
                    let Some((slot, gateway)) = self.acquire_slot() else { continue };
                    tracing::info!(slot, run = gateway.run, "fault of one gateway");
                    let (world, slots) = (world.clone(), self.slots.clone());
                    under_way.spawn("fault", async move {
                        match kind {
                            0 | 3 | 4 => {
                                gateway.kill();
                                sleep(pause / 2).await;
                                restart(&world, &mut slots.lock(), slot);
                            }
                            1 | 5 => {
                                let begun = Instant::now();
                                gateway.suspend(true);
                                sleep(pause).await;
                                gateway.suspend(false);
                                world.suspensions.lock().push((gateway.run, begun, Instant::now()));
                            }
                            6 => {
                                gateway.drain();
                                sleep(Duration::from_secs(8)).await;
                                gateway.kill();
                                restart(&world, &mut slots.lock(), slot);
                            }
                            _ => {
                                let cut = [Cut::Both, Cut::Outward, Cut::Inward][(kind % 3) as usize];
                                world.engine.cut(gateway.node, cut, noticed);
                                sleep(pause).await;
                                world.engine.mend(gateway.node, world.random.pause(0, 1000));
                            }
                        }
                        slots.lock()[slot].is_busy = false;
                    });
                }
            }
        }
        under_way.wait(Duration::from_secs(3600)).await;
        faults
    }

    /// Takes a gateway for a fault. `None`: it has one.
    fn acquire_slot(&self) -> Option<(usize, Arc<Gateway>)> {
        let mut slots = self.slots.lock();
        let number = self.world.random.below(slots.len() as u64) as usize;
        let slot = &mut slots[number];
        (!std::mem::replace(&mut slot.is_busy, true)).then(|| (number, slot.gateway.clone()))
    }

    /// Checks that two gateways never read a producer for longer than a lease, nor were connected to it for much longer
    /// at the same time, unless one was suspended.
    fn check_connections(&self, faults: Faults) {
        let now = Instant::now();
        let suspensions = self.world.suspensions.lock();
        let is_suspended = |run: u64, from: Instant, until: Instant| {
            suspensions.iter().any(|(known, begun, ended)| *known == run && *begun < until && *ended >= from)
        };
        let slack = self.slack(faults);
        for (stream, producer) in self.world.producers.iter().enumerate() {
            let connections = producer.connections();
            for (index, one) in connections.iter().enumerate() {
                for other in connections[..index].iter().filter(|other| other.run != one.run && other.key == one.key) {
                    let from = one.opened.max(other.opened);
                    let until = one.closed.unwrap_or(now).min(other.closed.unwrap_or(now));
                    if is_suspended(one.run, from, until) || is_suspended(other.run, from, until) {
                        continue;
                    }
                    let (read, connected) = (one.read.min(other.read).max(from) - from, until.max(from) - from);
                    let most = self.world.lease + slack;
                    if read > most || connected > most + CLOSED_WITHIN {
                        let (one, other) = (one.run, other.run);
                        self.world.ledger.wrong(format!(
                            "runs {one} and {other} read producer {stream} together for {read:?} and were connected to it \
                             for {connected:?}, at {:?}; lease {:?}, slack {slack:?}",
                            from - self.world.begun,
                            self.world.lease
                        ));
                    }
                }
            }
        }
    }

    /// Returns the time for which answers and words are late because of these faults.
    fn slack(&self, faults: Faults) -> Duration {
        let Faults { slow, lost_request, lost_answer, late_newest, lost_message, .. } = faults;
        let rates = [slow, lost_request, lost_answer, late_newest, lost_message];
        let is_prompt = rates.iter().all(|rate| *rate == 0.0);
        let lost = if self.world.ledger.has_lost() { BEHIND_PATIENCE } else { Duration::ZERO };
        lost + if is_prompt { PROMPT_ANSWERS } else { LATE_ANSWERS }
    }
}

/// Loses a claim and the few records after it, once there is one. Whoever claims next stores about as much in their place, which
/// only marks show.
async fn lose_a_claim(world: Arc<World>) {
    let (begun, most) = (Instant::now(), 2 + world.random.below(4) as usize);
    while !world.engine.forget_last_writer(most) && begun.elapsed() < CLAIM_AWAITED {
        sleep(CLAIM_INTERVAL).await;
    }
}

/// Starts a gateway in the place of another one, with the next keys if all gateways have those before.
fn restart(world: &Arc<World>, slots: &mut [Slot], slot: usize) {
    let oldest = slots.iter().map(|slot| slot.gateway.keys).min().unwrap_or_default();
    let keys = match world.first_keys.is_some() && slots[slot].gateway.keys == oldest {
        true => (oldest + 1).min(KEYS.len() - 1),
        false => slots[slot].gateway.keys,
    };
    slots[slot].gateway = Gateway::start(world, keys);
}

/// The gateways of a schedule.
const GATEWAYS: usize = 3;

/// The time after the last fault until clients stay where they are.
const MOVING: Duration = Duration::from_secs(5);

/// The time for which clients stay where they are until producers are quiet.
const STAYING: Duration = Duration::from_secs(3);

/// The time within which everybody must have the last event. A follower that gets nothing asks whether its owner still is
/// the owner, and an engine that has less than it acknowledged gets some seconds to find it.
const QUIET: Duration = Duration::from_secs(60);

/// The time within which a stream is read again after the faults. An engine that lost the end of an ownership is asked only
/// after a quiet time, and then gets some seconds to find what it had.
const HEALING: Duration = QUIET_TIME.saturating_add(BEHIND_PATIENCE).saturating_add(Duration::from_secs(10));

/// The time for which a claim is awaited that is to be lost, and the time between two looks whether there is one.
const CLAIM_AWAITED: Duration = Duration::from_secs(10);
const CLAIM_INTERVAL: Duration = Duration::from_millis(20);

/// The time between two looks whether everybody has everything.
const PAUSE: Duration = Duration::from_millis(500);

/// A gateway that was overtaken has closed its connection within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// The time that some answers and words take together without faults.
const PROMPT_ANSWERS: Duration = Duration::from_secs(1);

/// The time that a late word takes and the next one after a lost one, or two answers that do not come.
const LATE_ANSWERS: Duration = Duration::from_secs(8);
