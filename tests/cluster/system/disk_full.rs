//! The disks of the engine's servers are full.

use super::trial::Trial;
use super::{TURN, report};
use crate::gateways::answer;
use crate::support::nats::{ELECTION, NatsCluster, NatsServer};
use crate::support::small_disk::SmallDisk;
use crate::support::wait::{DEADLINE, eventually};

const CLIENTS: u64 = 60;

/// More than the engine needs for a trial.
const MEBIBYTES: u32 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_held_while_the_engines_disks_are_full_and_lose_nothing() {
    let _turn = TURN.lock().await;
    if let Some(obstacle) = SmallDisk::obstacle() {
        return report(&format!("disk full: skipped, no disk can be mounted: {obstacle}"));
    }
    let trial = Trial::start("disk full", NatsCluster::start_on_small_disks(MEBIBYTES).await, CLIENTS).await;
    let servers = &trial.site.engine.servers;

    // The others are a quorum.
    servers[0].disk().fill();
    eventually(DEADLINE, || async { has_stopped(&servers[0]) }).await;
    for node in &trial.site.gateways {
        eventually(ELECTION, || async { answer(&node.gateway, "/readyz?cluster").await.0 == 200 }).await;
    }
    for server in &servers[1..] {
        server.disk().fill();
    }
    for node in &trial.site.gateways {
        let note = || async { answer(&node.gateway, "/readyz").await };
        eventually(DEADLINE, || async { note().await.1.contains("the engine acknowledges nothing") }).await;
        assert_eq!(note().await.0, 200, "clients are held");
        assert_eq!(answer(&node.gateway, "/readyz?cluster").await.0, 503);
        node.gateway.wait_line("the cluster's engine is connected and acknowledges nothing", DEADLINE).await;
    }

    // They start what they have stopped no more by themselves.
    for server in servers {
        server.disk().free();
        server.shut_down().await;
        server.restart();
    }
    for node in &trial.site.gateways {
        eventually(ELECTION, || async { answer(&node.gateway, "/readyz?cluster").await.0 == 200 }).await;
    }

    trial.finish("3 disks of the engine full").await;
}

/// Whether the server has noticed that it cannot write: it stops JetStream, or the replica that could not write.
fn has_stopped(server: &NatsServer) -> bool {
    let signs = ["JetStream out of resources, will be DISABLED", "critical write error"];
    server.log().iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
}
