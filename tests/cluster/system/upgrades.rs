//! Engine and gateways are upgraded one by one, as docs/cluster.md says, under clients that come back to any gateway.

use super::TURN;
use super::trial::Trial;
use crate::support::nats::{ELECTION, MONITOR, NatsCluster, installed};
use crate::support::wait::{DEADLINE, eventually};

const CLIENTS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rolling_upgrade_of_engine_and_gateways() {
    let _turn = TURN.lock().await;
    let (before, after) = ("2.11.11", "2.15.1");
    let engine = NatsCluster::start_of(&installed(before), MONITOR).await;
    let is_of = |which: usize, version: &str, engine: &NatsCluster| {
        engine.servers[which].log().iter().any(|line| line.contains("Version:") && line.ends_with(version))
    };
    assert!((0..3).all(|which| is_of(which, before, &engine)));
    let mut trial = Trial::start("upgrade", engine, CLIENTS).await;

    for which in 0..3 {
        let server = &trial.site.engine.servers[which];
        server.shut_down().await;
        server.use_program(installed(after));
        server.restart();
        // The next one goes when this one has everything that it missed.
        eventually(ELECTION, || async { server.is_healthy().await }).await;
        assert!(is_of(which, after, &trial.site.engine));
    }
    for which in 0..3 {
        let gateway = &mut trial.site.gateways[which].gateway;
        gateway.signal("TERM");
        gateway.wait_exit(DEADLINE).await;
        gateway.restart().await;
    }

    trial.finish("3 servers of the engine and 3 gateways replaced").await;
}
