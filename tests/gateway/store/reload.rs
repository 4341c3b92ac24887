//! Reloads of a route whose logs are on disk: the open stream stays the one that is stored.

use std::sync::Arc;

use super::*;
use crate::reload_in_place::{CHANGES, Emitter, assert_all_read, hundred_clients, reload};

/// Returns a configuration with these lines of `[routes.replay]` and `[routes.delivery]`.
fn changed(origin: &Origin, folder: &Path, (replay, delivery): (&str, &str)) -> String {
    config(origin, folder, replay, "64MiB").replace("[store]", &format!("[routes.delivery]\n{delivery}\n[store]"))
}

/// Waits until the log has this many events, and all are stored.
async fn wait_all_stored(gateway: &Rillgate, events: usize) {
    let series = format!("rillgate_event_log_events{{route=\"all\"}} {events}");
    eventually(DEADLINE, || async {
        let metrics = get(gateway, "/metrics").await;
        [&series, "rillgate_store_queue_events 0"].iter().all(|series| metrics.lines().any(|line| line == *series))
    })
    .await;
}

#[tokio::test]
async fn a_hundred_clients_do_not_notice_changes_and_the_log_is_there_after_a_restart() {
    let (origin, folder) = (Arc::new(Origin::start().await), tempfile::tempdir().unwrap());
    let mut gateway = Rillgate::start(&changed(&origin, folder.path(), CHANGES[0])).await;
    let mut clients = hundred_clients(&gateway).await;
    origin.wait_open(1).await;
    let emitter = Emitter::start(&origin);

    for (count, change) in CHANGES.into_iter().enumerate().skip(1) {
        reload(&gateway, &changed(&origin, folder.path(), change), count).await;
    }
    let last = emitter.finish().await;
    assert_all_read(&mut clients, last).await;
    assert_eq!((origin.connections().total, origin.connections().open), (1, 1));
    wait_all_stored(&gateway, last).await;
    gateway.restart().await;

    let mut back = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
    assert_eq!(back.header("rillgate-resume"), format!("resumed;missed={}", last - 1));
    assert_eq!(back.next_events(last - 1).await.last().unwrap().last_event_id, last.to_string());
}

#[tokio::test]
async fn a_smaller_retention_shrinks_the_stored_log_of_a_quiet_stream() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let with = |events| config(&origin, folder.path(), &format!("events = {events}"), "64MiB");
    let gateway = Rillgate::start(&with(1000)).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    for number in 1..=20 {
        emit_to(&origin, &mut reader, number..=number).await;
        wait_all_stored(&gateway, number).await;
    }
    let stored = async || stored_bytes(&gateway).await;
    let before = stored().await;

    reload(&gateway, &with(2), 1).await;

    eventually(DEADLINE, || async { stored().await < before }).await;
    assert_eq!(origin.connections().total, 1);
}

async fn stored_bytes(gateway: &Rillgate) -> f64 {
    let metrics = get(gateway, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("rillgate_store_bytes "));
    line.expect("a gauge").parse().expect("a number")
}

#[tokio::test]
async fn a_stream_whose_route_is_stored_only_after_a_reload_survives_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let disk = config(&origin, folder.path(), "", "64MiB");
    let mut gateway = Rillgate::start(&disk.replace("store = \"disk\"", "store = \"memory\"")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=3).await;

    reload(&gateway, &disk, 1).await;
    wait_all_stored(&gateway, 3).await;
    emit_to(&origin, &mut reader, 4..=5).await;
    wait_all_stored(&gateway, 5).await;
    gateway.restart().await;

    let mut back = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;
    assert_eq!(back.header("rillgate-resume"), "resumed;missed=4");
    assert_eq!(data(&mut back, 4).await, [2, 3, 4, 5]);
    assert_eq!(origin.connections().total, 2, "one before the restart and one after it");
}
