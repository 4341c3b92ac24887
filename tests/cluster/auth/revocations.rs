//! A revocation is in force on every gateway within a second, and before a gateway is ready.

use std::time::{Duration, Instant};

use rillgate::auth::{Reach, RestoreError};
use rillgate::cluster::ClusterSettings;
use rillgate::secret::Secret;

use super::fixture::{Member, three};
use crate::engine::fixture::settings;
use crate::support::nats::{ELECTION, NatsCluster, NatsServer};
use crate::support::wait::eventually;

#[tokio::test]
async fn a_revocation_and_its_removal_are_on_all_gateways_within_a_second() {
    let server = NatsServer::start().await;
    let members = three(&[server.url()], 1).await;

    for value in ["a", "b", "c"] {
        let begun = Instant::now();
        assert_eq!(members[0].post(value).await, Reach::All);
        for member in &members {
            member.until(value, true).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(members[1].delete(value).await, Ok(Reach::All));
        for member in &members {
            member.until(value, false).await;
        }
    }
    assert_eq!(members[2].delete("a").await, Err(RestoreError::Unknown));
}

#[tokio::test]
async fn a_gateway_has_read_all_revocations_before_it_is_ready() {
    let server = NatsServer::start().await;
    let first = Member::start(settings(&[server.url()])).await;
    for number in 0..1_500 {
        assert_eq!(first.post(&number.to_string()).await, Reach::All);
    }

    let second = Member::begin(settings(&[server.url()]));
    assert!(!*second.cluster.loaded().borrow());
    second.is_loaded().await;

    assert_eq!(second.table.counts().posted, 1_500);
}

#[tokio::test]
async fn what_is_posted_while_the_engine_is_away_is_pending_and_follows() {
    let server = NatsServer::start().await;
    let members = three(&[server.url()], 1).await;
    assert_eq!(members[0].post("old").await, Reach::All);
    members[1].until("old", true).await;

    server.kill();
    members[0].running.is_disconnected().await;
    assert_eq!(members[0].post("new").await, Reach::Here);
    assert_eq!(members[0].delete("old").await, Ok(Reach::Here));
    assert_eq!(members[0].cluster.pending(), 2);
    members[0].until("new", true).await;
    members[0].until("old", false).await;
    server.restart();

    for member in &members {
        member.until("new", true).await;
        member.until("old", false).await;
    }
    assert_eq!(members[0].cluster.pending(), 0);
}

#[tokio::test]
async fn no_revocation_is_lost_while_each_of_three_servers_is_killed() {
    let cluster = NatsCluster::start().await;
    let members = three(&cluster.urls(), 3).await;
    let mut values = Vec::new();

    for (number, server) in cluster.servers.iter().enumerate() {
        server.kill();
        for part in 0..5 {
            let value = format!("{number}-{part}");
            members[part % 3].post(&value).await;
            values.push(value);
        }
        eventually(ELECTION, || async { members.iter().all(|member| member.cluster.pending() == 0) }).await;
        server.restart();
        server.is_listening().await;
        cluster.has_leader().await;
    }

    for member in &members {
        for value in &values {
            member.until(value, true).await;
        }
    }
}

#[tokio::test]
async fn revocations_of_another_key_are_not_in_force() {
    let server = NatsServer::start().await;
    let urls = [server.url()];
    let other = ClusterSettings { keys: vec![Secret::new(vec![8; 32])], ..settings(&urls) };
    let (own, foreign) = (Member::start(settings(&urls)).await, Member::start(other).await);

    assert_eq!(foreign.post("theirs").await, Reach::All);
    assert_eq!(own.post("ours").await, Reach::All);
    foreign.until("theirs", true).await;

    let later = Member::start(settings(&urls)).await;
    later.until("ours", true).await;
    assert_eq!((own.table.counts().posted, later.table.counts().posted), (1, 1));
}
