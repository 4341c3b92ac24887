//! Another gateway owns a stream in time, in situations that are made and not drawn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::gateway::{Gateway, World};
use crate::cluster::fake::Faults;
use crate::runtime::tasks::Tasks;
use crate::stream::{ShareRole, Subscription};

pub(super) const LEASE: Duration = Duration::from_secs(3);

/// A gateway that owns the stream, and another one that follows it.
struct Pair {
    world: Arc<World>,
    owner: Arc<Gateway>,
    follower: Arc<Gateway>,
    owner_reader: Subscription,
    follower_reader: Subscription,
    /// Keeps the producer running.
    _tasks: Tasks,
}

impl Pair {
    async fn start() -> Self {
        let world = World::faultless(7, LEASE);
        let (owner, follower) = (Gateway::start(&world, 0), Gateway::start(&world, 0));
        let (producer, tasks) = (world.producers[0].clone(), Tasks::default());
        tasks.spawn("producer", async move { producer.produce().await });
        let owner_reader = subscribe(&owner);
        until(Duration::from_secs(10), || role(&owner_reader) == ShareRole::Own).await;
        let follower_reader = subscribe(&follower);
        until(Duration::from_secs(10), || role(&follower_reader) == ShareRole::Follow).await;
        // Nobody is taken for dead before beats were exchanged for a lease.
        sleep(LEASE * 3).await;
        Self { world, owner, follower, owner_reader, follower_reader, _tasks: tasks }
    }

    /// Loses every message to subscribers, or none.
    fn lose_messages(&self, is_lost: bool) {
        self.world.engine.set_faults(Faults { lost_message: f64::from(u8::from(is_lost)), ..Faults::default() });
    }

    /// Reads at the follower, and comes back whenever the response ends, until that gateway owns the stream.
    async fn owned_by_follower(&mut self) -> Duration {
        let begun = Instant::now();
        while role(&self.follower_reader) != ShareRole::Own {
            sleep(Duration::from_millis(20)).await;
            let is_refused = matches!(timeout(Duration::ZERO, self.follower_reader.opened(false)).await, Ok(Err(_)));
            if is_refused {
                self.follower_reader = subscribe(&self.follower);
            }
            assert!(begun.elapsed() < Duration::from_secs(200), "nobody owns the stream");
        }
        begun.elapsed()
    }
}

/// Reads the first stream at a gateway.
pub(super) fn subscribe(gateway: &Gateway) -> Subscription {
    gateway.subscribe(0).expect("there is room")
}

/// Returns the role of the reader's gateway.
pub(super) fn role(reader: &Subscription) -> ShareRole {
    reader.stream().shared().expect("it is shared").share().role
}

/// Completes when this is true, within `most`.
pub(super) async fn until(most: Duration, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < most, "not within {most:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_owner_is_replaced_within_a_lease_and_two_thirds() {
    let mut pair = Pair::start().await;

    pair.owner.kill();

    let took = pair.owned_by_follower().await;
    assert!(took <= LEASE * 5 / 3, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_last_beat_was_not_heard_is_replaced_half_a_lease_later() {
    let mut pair = Pair::start().await;
    pair.lose_messages(true);
    sleep(LEASE / 4).await;

    pair.owner.kill();
    sleep(LEASE / 5).await;
    pair.lose_messages(false);

    let took = pair.owned_by_follower().await + LEASE / 5;
    assert!(took <= LEASE * 9 / 4, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_notices_a_sequence_that_an_engine_uses_again() {
    let mut pair = Pair::start().await;

    // The owner finds out when it writes. It gives the log up then, and nobody reads the stream there any more.
    pair.world.engine.forget(LEASE);
    let Pair { owner_reader, .. } = &mut pair;
    until(Duration::from_secs(20), || role(owner_reader) != ShareRole::Own).await;

    let took = pair.owned_by_follower().await;
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_hears_nothing_asks_whether_its_owner_is_the_owner() {
    let mut pair = Pair::start().await;

    pair.world.engine.forget(LEASE);
    pair.lose_messages(true);
    let Pair { owner_reader, .. } = &mut pair;
    until(Duration::from_secs(20), || role(owner_reader) != ShareRole::Own).await;
    sleep(Duration::from_secs(8)).await;
    pair.lose_messages(false);

    let took = pair.owned_by_follower().await;
    assert!(took <= Duration::from_secs(50), "{took:?}");
}
