//! An engine loses what it acknowledged, in situations that are made and not drawn.

use std::time::Duration;

use tokio::time::sleep;

use super::gateway::{Gateway, World};
use super::takeover::{LEASE, role, subscribe, until};
use crate::stream::{Phase, ShareRole, Subscription};

fn phase(reader: &Subscription) -> Phase {
    reader.stream().progress().phase
}

fn term(reader: &Subscription) -> u64 {
    reader.stream().shared().expect("it is shared").share().term
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_live_for_a_gateway_that_finds_only_its_claim() {
    let world = World::faultless(7, LEASE);
    let (owner, follower) = (Gateway::start(&world), Gateway::start(&world));
    let owner_reader = subscribe(&owner);
    until(Duration::from_secs(10), || phase(&owner_reader) == Phase::Live).await;

    world.engine.keep_first(1);
    let follower_reader = subscribe(&follower);
    sleep(Duration::from_secs(3)).await;

    assert_eq!((role(&follower_reader), phase(&follower_reader)), (ShareRole::Follow, Phase::Opening));
    // The owner finds out when it writes, and gives the log up.
    world.producers[0].emit();
    until(Duration::from_secs(20), || phase(&follower_reader) == Phase::Live).await;
    assert_eq!(term(&follower_reader), 2);
}
