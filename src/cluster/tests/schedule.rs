//! One schedule: gateways that are killed, suspended, cut off and drained, while producers produce and clients read.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::gateway::{Gateway, World};
use super::producer::LONGEST_PAUSE;
use crate::cluster::fake::{Cut, Faults, Mutant};
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
    tasks: Tasks,
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
    let slots = (0..GATEWAYS).map(|_| Slot { gateway: Gateway::start(&world), is_busy: false }).collect();
    let schedule = Schedule { world: world.clone(), slots: Arc::new(Mutex::new(slots)), tasks: Tasks::default() };
    let faulty = world.random.pause(15_000, 45_000);
    let moving_until = Instant::now() + faulty + HEALING;
    for producer in &world.producers {
        let (producer, end) = (producer.clone(), moving_until + HEALING);
        let ends = world.policy.on_end == OnEnd::Complete;
        schedule.tasks.spawn("producer", async move {
            producer.produce(end).await;
            if ends {
                producer.end();
            }
        });
    }
    let clients: Arc<Mutex<Vec<Client>>> = Arc::default();
    let end = moving_until + HEALING + QUIET;
    for stream in 0..world.producers.len() {
        for number in 0..2 + world.random.below(3) {
            let client = Client::new(world.clone(), stream * 10 + number as usize, stream);
            schedule.spawn_client(client, moving_until, end, clients.clone());
        }
    }
    let drawn = Faults::drawn(&world.random);
    world.engine.set_faults(drawn);
    let faults = schedule.run_faults(Instant::now() + faulty).await;
    world.engine.set_faults(Faults::default());
    world.producers.iter().for_each(|producer| producer.heal());
    schedule.tasks.wait(Duration::from_secs(3600)).await;
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
    /// Has a client read, move and come back.
    fn spawn_client(&self, mut client: Client, moving_until: Instant, end: Instant, done: Arc<Mutex<Vec<Client>>>) {
        let (world, slots) = (self.world.clone(), self.slots.clone());
        self.tasks.spawn("client", async move {
            sleep(world.random.pause(0, 5000)).await;
            while Instant::now() < end {
                let gateway = {
                    let slots = slots.lock();
                    slots[world.random.below(slots.len() as u64) as usize].gateway.clone()
                };
                if gateway.is_alive() && !gateway.is_draining() {
                    let leaves = match Instant::now() < moving_until {
                        true => (Instant::now() + world.random.pause(500, 20_000)).min(end),
                        false => end,
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
            let kind = world.random.below(10);
            let (pause, noticed) = (world.random.pause(200, 15_000), world.random.pause(0, 4000));
            faults += 1;
            tracing::info!(kind, ?pause, ?noticed, "fault");
            match kind {
                0 if loses => {
                    world.ledger.loses();
                    world.engine.forget(world.random.pause(10, 5000));
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
                                slots.lock()[slot].gateway = Gateway::start(&world);
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
                                slots.lock()[slot].gateway = Gateway::start(&world);
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
                for other in connections[..index].iter().filter(|other| other.run != one.run) {
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
        let Faults { slow, lost_request, lost_answer, lost_message, .. } = faults;
        let is_prompt = [slow, lost_request, lost_answer, lost_message].iter().all(|rate| *rate == 0.0);
        let lost = if self.world.ledger.has_lost() { BEHIND_PATIENCE } else { Duration::ZERO };
        lost + if is_prompt { PROMPT_ANSWERS } else { LATE_ANSWERS }
    }
}

/// The gateways of a schedule.
const GATEWAYS: usize = 3;

/// The time after the last fault until clients stay where they are, and again until producers stop.
const HEALING: Duration = Duration::from_secs(18);

/// The time after the last event until everybody must have it.
const QUIET: Duration = Duration::from_secs(LONGEST_PAUSE.as_secs() + 30);

/// A gateway that was overtaken has closed its connection within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// The time that some answers and words take together without faults.
const PROMPT_ANSWERS: Duration = Duration::from_secs(1);

/// The time that a late word takes and the next one after a lost one, or two answers that do not come.
const LATE_ANSWERS: Duration = Duration::from_secs(8);
