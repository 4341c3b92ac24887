//! Disks that are slow, that fail, or that are full for a while.

use super::*;
use crate::support::figures::wait_metric;

/// strace delays the calls of fsync and fdatasync, so that each commit takes seconds.
#[tokio::test]
async fn a_slow_disk_delays_no_event_and_loses_none() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let config = config(&origin, folder.path(), "", "64MiB");
    let calls = folder.path().join("calls");
    let calls = calls.to_str().unwrap();
    let slow = "inject=fsync,fdatasync:delay_enter=1500000";
    let slowed = ["strace", "-D", "-f", "-q", "-o", calls, "-e", "trace=fsync,fdatasync", "-e", slow];
    let mut gateway = Rillgate::start_by(&slowed, &config).await;
    gateway.wait_line("store in use", DEADLINE).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let begun = Instant::now();

    emit_to(&origin, &mut reader, 1..=40).await;

    // If events waited for the disk, this would take forty commits.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    wait_stored(&gateway).await;
    assert!(std::fs::read_to_string(calls).unwrap().contains("(DELAYED)"));
    assert!(get(&gateway, "/readyz").await.starts_with("HTTP/1.1 200"));
    gateway.restart().await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;
    assert_eq!(reader.header("rillgate-resume"), "resumed;missed=39");
    assert_eq!(data(&mut reader, 39).await, (2..=40).collect::<Vec<_>>());
}

/// A limit on the file size makes every write beyond 256 KiB fail.
#[tokio::test]
async fn a_failing_disk_costs_only_durability() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"];
    let gateway = Rillgate::start_by(&limited, &config(&origin, folder.path(), "", "64MiB")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let large = "x".repeat(50_000);

    for _ in 0..60 {
        origin.emit(Emission::event("1", "", &large));
        assert_eq!(reader.next_event(DEADLINE).await.data.len(), large.len());
    }

    gateway.wait_line("store degraded", DEADLINE).await;
    eventually(DEADLINE, || async { get(&gateway, "/readyz").await.contains("\"store\":\"degraded: ") }).await;
    assert!(get(&gateway, "/readyz").await.starts_with("HTTP/1.1 200"));
    // The gateway retries, and must not report the store as usable meanwhile.
    while !has_counted(&gateway, "rillgate_store_errors_total", 3.0).await {
        assert!(has_counted(&gateway, "rillgate_store_state", 0.0).await, "the state is not exported");
        assert!(!has_counted(&gateway, "rillgate_store_state", 1.0).await, "the store is reported as usable");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.log().iter().filter(|line| line.contains("store degraded")).count(), 1);
    origin.emit(Emission::event("2", "", "still there"));
    assert_eq!(reader.next_event(DEADLINE).await.data, "still there");
}

/// strace lets three writes fail with ENOSPC.
#[tokio::test]
async fn a_full_disk_is_reported_and_used_again_once_it_has_room() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let calls = folder.path().join("calls");
    let calls = calls.to_str().unwrap();
    let full = "inject=pwrite64:error=ENOSPC:when=40..42";
    let traced = ["strace", "-D", "-f", "-q", "-o", calls, "-e", "trace=pwrite64", "-e", full];
    let mut gateway = Rillgate::start_by(&traced, &config(&origin, folder.path(), "", "64MiB")).await;
    gateway.wait_line("store in use", DEADLINE).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let mut last = 0;

    while !gateway.log().iter().any(|line| line.contains("store degraded: ")) {
        last += 1;
        emit_to(&origin, &mut reader, last..=last).await;
        assert!(last < 1000, "the disk was never full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let trouble = "degraded: the disk is full: No space left on device";
    eventually(DEADLINE, || async { get(&gateway, "/readyz").await.contains(trouble) }).await;
    assert!(has_counted(&gateway, "rillgate_store_errors_total{kind=\"full\"}", 1.0).await);
    emit_to(&origin, &mut reader, last + 1..=last + 3).await;
    let times = |what: &str| gateway.log().iter().filter(|line| line.contains(what)).count();
    eventually(Duration::from_secs(60), || async { times("store in use") == 2 }).await;
    assert_eq!(times("store degraded"), 1);
    wait_stored(&gateway).await;
    gateway.restart().await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;
    assert_eq!(data(&mut reader, last + 2).await, (2..=last + 3).collect::<Vec<_>>());
    assert_eq!(origin.requests()[1].last_event_id(), Some(&*(last + 3).to_string()));
}

/// A small file system that another file fills: the writes themselves fail.
#[tokio::test]
async fn a_full_file_system_costs_only_durability_until_it_has_room() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A disk of 32 MiB, in a mount namespace of the gateway's own, with a file that takes most of the room.
    let script = format!(
        "mount -t tmpfs -o size=32m none {0} && head -c 31000000 /dev/zero > {0}/other && exec \"$@\"",
        disk.display()
    );
    let by = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
    let gateway = Rillgate::start_by(&by, &config(&origin, &disk, "", "64MiB")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let large = "x".repeat(50_000);

    for _ in 0..60 {
        origin.emit(Emission::event("1", "", &large));
        assert_eq!(reader.next_event(DEADLINE).await.data.len(), large.len());
    }

    let trouble = "degraded: the disk is full: No space left on device";
    eventually(DEADLINE, || async { get(&gateway, "/readyz").await.contains(trouble) }).await;
    assert!(get(&gateway, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(has_counted(&gateway, "rillgate_store_errors_total{kind=\"full\"}", 1.0).await);
    // The file is seen through the gateway's own namespace.
    std::fs::remove_file(format!("/proc/{}/root{}/other", gateway.id(), disk.display())).unwrap();
    wait_metric(&gateway, "store_state", &[], 1.0).await;
    emit_to(&origin, &mut reader, 2..=3).await;
}
