//! An engine loses what it acknowledged, in situations that are made and not drawn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::gateway::{Gateway, World};
use super::producer::Producer;
use super::takeover::{LEASE, role, subscribe, until};
use crate::cluster::fake::Faults;
use crate::stream::{Phase, ShareRole, StreamShare, Subscription};

fn phase(reader: &Subscription) -> Phase {
    reader.stream().progress().phase
}

fn share(reader: &Subscription) -> StreamShare {
    reader.stream().shared().expect("it is shared").share()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_live_for_a_gateway_that_finds_only_its_claim() {
    let world = World::faultless(7, LEASE);
    let (owner, follower) = (Gateway::start(&world, 0), Gateway::start(&world, 0));
    let owner_reader = subscribe(&owner);
    until(Duration::from_secs(10), || phase(&owner_reader) == Phase::Live).await;

    world.engine.keep_first(1);
    let follower_reader = subscribe(&follower);
    sleep(Duration::from_secs(3)).await;

    assert_eq!((role(&follower_reader), phase(&follower_reader)), (ShareRole::Follow, Phase::Opening));
    // The owner finds out when it writes, and gives the log up.
    world.producers[0].emit();
    until(Duration::from_secs(20), || phase(&follower_reader) == Phase::Live).await;
    assert_eq!(share(&follower_reader).term, 2);
}

/// A gateway that owns the stream by the second claim, and another one that has read the log and waits for more. The first
/// records are those before that claim.
struct Waiting {
    world: Arc<World>,
    owner: Arc<Gateway>,
    owner_reader: Subscription,
    follower: Arc<Gateway>,
    follower_reader: Subscription,
    first_records: usize,
}

impl Waiting {
    async fn start() -> Self {
        let world = World::faultless(7, LEASE);
        let before = Gateway::start(&world, 0);
        let reader = subscribe(&before);
        until(Duration::from_secs(10), || phase(&reader) == Phase::Live).await;
        before.drain();
        until(Duration::from_secs(10), || share(&reader).owner.is_none()).await;
        before.kill();
        let first_records = world.engine.history(0).len();
        let (owner, follower) = (Gateway::start(&world, 0), Gateway::start(&world, 0));
        let owner_reader = subscribe(&owner);
        until(Duration::from_secs(20), || phase(&owner_reader) == Phase::Live).await;
        for _ in 0..5 {
            world.producers[0].emit();
            sleep(Duration::from_secs(1)).await;
        }
        let follower_reader = subscribe(&follower);
        until(Duration::from_secs(10), || phase(&follower_reader) == Phase::Live).await;
        Self { world, owner, owner_reader, follower, follower_reader, first_records }
    }

    /// Completes when the follower's gateway has the newest event. Its reader comes back when the response ends.
    async fn has_newest(&mut self, most: Duration) {
        let (id, begun) = (Producer::id(self.world.producers[0].newest()), Instant::now());
        while !self.follower_reader.can_resume(&id) {
            assert!(begun.elapsed() < most, "{id} did not come within {most:?}");
            sleep(Duration::from_millis(20)).await;
            come_back(&self.follower, &mut self.follower_reader).await;
        }
    }

    /// The owner's gateway finds out what is lost, and owns the stream by another claim.
    async fn is_claimed_again(&mut self) {
        self.world.producers[0].emit();
        until(Duration::from_secs(20), || role(&self.owner_reader) != ShareRole::Own).await;
        let begun = Instant::now();
        while phase(&self.owner_reader) != Phase::Live {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody owns the stream");
            sleep(Duration::from_millis(20)).await;
            come_back(&self.owner, &mut self.owner_reader).await;
        }
    }
}

async fn come_back(gateway: &Gateway, reader: &mut Subscription) {
    if matches!(timeout(Duration::ZERO, reader.opened(false)).await, Ok(Err(_))) {
        *reader = subscribe(gateway);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_the_same_claim_that_uses_an_older_sequence_is_noticed() {
    let mut waiting = Waiting::start().await;

    // The owner repeats its state.
    waiting.world.engine.keep_first(0);
    waiting.world.producers[0].emit();

    waiting.has_newest(Duration::from_secs(15)).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_uses_an_older_sequence_and_the_same_term_is_noticed() {
    let mut waiting = Waiting::start().await;

    waiting.world.engine.keep_first(waiting.first_records);
    waiting.is_claimed_again().await;
    waiting.world.producers[0].emit();

    waiting.has_newest(Duration::from_secs(15)).await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_by_another_claim_of_the_same_term_is_not_taken_for_the_owner() {
    let mut waiting = Waiting::start().await;
    let lose = |rate| Faults { lost_message: rate, ..Faults::default() };

    waiting.world.engine.keep_first(waiting.first_records);
    waiting.world.engine.set_faults(lose(1.0));
    waiting.is_claimed_again().await;
    waiting.world.producers[0].emit();
    // What the owner tells of its claim is over by then.
    sleep(Duration::from_secs(10)).await;
    waiting.world.engine.set_faults(lose(0.0));

    waiting.has_newest(Duration::from_secs(40)).await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_looks_when_a_follower_has_less_than_it() {
    let waiting = Waiting::start().await;

    waiting.world.engine.keep_first(waiting.first_records + 3);
    let newcomer = Gateway::start(&waiting.world, 0);
    let _reader = subscribe(&newcomer);

    until(Duration::from_secs(40), || role(&waiting.owner_reader) != ShareRole::Own).await;
}
