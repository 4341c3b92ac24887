//! Three servers: what is acknowledged stays, whichever of them goes.

use std::cell::Cell;
use std::net::SocketAddr;

use rillgate::cluster::{AppendError, ClusterSettings, Engine, Stored};

use super::fixture::{Running, bytes, log, settings};
use crate::support::nats::{ELECTION, NatsCluster, NatsServer};
use crate::support::network::Network;
use crate::support::wait::eventually;

/// Appends until it is acknowledged, as the protocol does: after any doubt it looks first.
async fn append(engine: &Running, after: u64, text: &str) -> u64 {
    let stored = Cell::new(None);
    eventually(ELECTION, || async {
        match engine.append(&log(1), after, bytes(text)).await {
            Ok(sequence) => stored.set(Some(sequence)),
            Err(AppendError::Refused | AppendError::Unknown(_)) => {
                let newest = engine.newest(&log(1)).await.ok().flatten();
                stored.set(newest.map(|newest| newest.sequence).filter(|sequence| *sequence > after));
            }
        }
        stored.get().is_some()
    })
    .await;
    stored.get().unwrap()
}

/// Reads all up to a record. A replica that has it not yet may answer first.
async fn read_until(engine: &Running, last: u64) -> Vec<Stored> {
    let read = Cell::new(Vec::new());
    eventually(ELECTION, || async {
        let records = engine.since(&log(1), 0).await.unwrap_or_default();
        let is_whole = records.last().is_some_and(|newest| newest.sequence >= last);
        read.set(records);
        is_whole
    })
    .await;
    read.take()
}

#[tokio::test]
async fn no_acknowledged_record_is_lost_whichever_server_is_killed() {
    let cluster = NatsCluster::start().await;
    let engine = Running::connected(ClusterSettings { replicas: 3, ..settings(&cluster.urls()) }).await;
    let mut texts = vec!["before".to_owned()];
    let mut last = append(&engine, 0, "before").await;

    for server in &cluster.servers {
        server.kill();
        texts.push(format!("without {}", server.address()));
        last = append(&engine, last, texts.last().unwrap()).await;
        server.restart();
        server.is_listening().await;
        texts.push(format!("again with {}", server.address()));
        last = append(&engine, last, texts.last().unwrap()).await;
    }

    let stored = read_until(&engine, last).await;
    let payloads: Vec<_> = stored.iter().map(|stored| String::from_utf8_lossy(&stored.payload)).collect();
    assert_eq!(payloads, texts);
}

#[tokio::test]
async fn without_a_quorum_nothing_is_acknowledged() {
    let cluster = NatsCluster::start().await;
    let engine = Running::connected(ClusterSettings { replicas: 3, ..settings(&cluster.urls()) }).await;
    let first = append(&engine, 0, "one").await;

    cluster.servers[0].kill();
    cluster.servers[1].kill();
    for _ in 0..3 {
        // The first attempt is under way for ever, which some versions call a refusal of the next.
        engine.append(&log(1), first, bytes("two")).await.unwrap_err();
    }
    cluster.servers[0].restart();
    cluster.servers[1].restart();

    let last = append(&engine, first, "three").await;
    // What was asked without a quorum may have been done later, once.
    let stored = read_until(&engine, last).await;
    assert_eq!(stored.len(), 2, "{stored:?}");
}

#[tokio::test]
async fn a_line_that_holds_its_bytes_is_given_up_and_found_again() {
    for direction in [Network::stall_to_target, Network::stall_from_target, Network::stall] {
        let server = NatsServer::start().await;
        let target: SocketAddr = server.address().parse().unwrap();
        let network = Network::to(target).await;
        let engine = Running::connected(settings(&[format!("nats://{}", network.address())])).await;
        let first = engine.append(&log(1), 0, bytes("one")).await.unwrap();

        direction(&network);
        let held = engine.append(&log(1), first, bytes("two")).await;
        engine.is_disconnected().await;
        network.resume();
        engine.is_connected().await;

        assert!(matches!(held, Err(AppendError::Unknown(_))), "{held:?}");
        let last = append(&engine, first, "two").await;
        assert_eq!(read_until(&engine, last).await.len(), 2);
    }
}
