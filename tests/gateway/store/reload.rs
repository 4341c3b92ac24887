//! Reloads that leave two streams with the same key: only the one that new readers join is stored.

use super::*;

/// Asserts what is stored after a reload to another retention and back, while a reader of the first stream stays.
async fn assert_stored_after_reload_and_back(is_joined: bool) {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let first = config(&origin, folder.path(), "events = 100", "64MiB")
        .replace("[store]", "[routes.delivery]\nlinger = \"1ms\"\n[store]");
    let second = first.replace("events = 100", "events = 50");
    let mut gateway = Rillgate::start(&first).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=3).await;
    reload(&gateway, &second, 1).await;
    let mut other = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.wait_open(2).await;
    emit_to(&origin, &mut reader, 4..=4).await;
    assert_eq!(data(&mut other, 1).await, [4]);
    wait_all_stored(&gateway, 4 + 4).await;

    reload(&gateway, &first, 2).await;
    if is_joined {
        let late = Client::http2(gateway.address()).subscribe("/a", &[("last-event-id", "2")]).await;
        assert_eq!(late.header("rillgate-resume"), "resumed;missed=2");
        assert_eq!(origin.connections().open, 2, "the late reader did not join the first stream");
    }
    drop(other);
    eventually(DEADLINE, || async { origin.connections().open == 1 }).await;
    emit_to(&origin, &mut reader, 5..=9).await;
    wait_all_stored(&gateway, 9).await;
    gateway.restart().await;

    let mut back = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "2")]).await;
    assert_eq!(back.header("rillgate-resume"), "resumed;missed=7");
    assert_eq!(data(&mut back, 7).await, (3..=9).collect::<Vec<_>>());
}

/// Waits until the logs together have this many events, and all are stored.
async fn wait_all_stored(gateway: &Rillgate, events: usize) {
    let series = format!("rillgate_event_log_events{{route=\"all\"}} {events}");
    eventually(DEADLINE, || async {
        let metrics = get(gateway, "/metrics").await;
        [&series, "rillgate_store_queue_events 0"].iter().all(|series| metrics.lines().any(|line| line == *series))
    })
    .await;
}

async fn reload(gateway: &Rillgate, config: &str, count: usize) {
    gateway.rewrite(config);
    gateway.signal("HUP");
    let reloaded = || gateway.log().iter().filter(|line| line.contains("configuration reloaded")).count();
    eventually(DEADLINE, || async { reloaded() == count }).await;
}

#[tokio::test]
async fn a_stream_removed_and_restored_by_reloads_is_stored_again() {
    assert_stored_after_reload_and_back(true).await;
}

#[tokio::test]
async fn an_old_stream_is_stored_again_when_its_settings_return() {
    assert_stored_after_reload_and_back(false).await;
}
