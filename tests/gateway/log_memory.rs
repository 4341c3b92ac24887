//! Event logs and `limits.memory`: clients read made-up paths, and the producer sends a history on each.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::{metric, resident, watch_for};
use crate::support::origin::Origin;
use crate::support::script::Answer;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn logs_stay_within_limits_memory_and_clients_are_admitted() {
    let history = format!("data: {}\n\n", "x".repeat(8_000)).repeat(500);
    let origin = Origin::start_with(move |_| Answer::stream().then(history.clone())).await;
    let setup = Setup::for_origin(&origin.url()).limits("memory = \"64MiB\"").delivery("linger = \"100ms\"");
    let gateway = setup.start().await;
    let client = Client::http1(gateway.address());

    // All histories together are some 200 MB. Clients that are refused meanwhile try again later.
    let mut readers = Vec::new();
    let mut peak = 0;
    for number in 0..50 {
        readers.push(client.subscribe(&format!("/made-up-{number}"), &[]).await);
        peak = peak.max(resident(&gateway));
    }
    let taken = metric(&gateway, "event_log_bytes", &[]).await;
    watch_for(Duration::from_millis(300)).await;
    peak = peak.max(resident(&gateway));

    assert!(taken <= 64.0 * 1024.0 * 1024.0, "{taken} bytes in logs");
    assert!(peak < 160 << 20, "{} MiB resident", peak >> 20);
    drop(readers);
    eventually(DEADLINE, || async { metric(&gateway, "event_log_bytes", &[]).await == 0.0 }).await;
    // The gateway needs time to measure its memory again.
    watch_for(Duration::from_millis(2500)).await;
    // Freed pages that the allocator keeps must not count as used.
    for _ in 0..5 {
        watch_for(Duration::from_millis(500)).await;
        assert_eq!(client.subscribe("/honest", &[]).await.status, 200, "{} MiB resident", resident(&gateway) >> 20);
    }
}
