//! Event logs on disk: clients resume after every way in which the gateway can end.

mod disk;
mod reload;
mod shares;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::process::Process;
use crate::support::raw::Raw;
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// Returns a configuration with a store in this folder; `replay` is added to the table `[routes.replay]`.
fn config(origin: &Origin, folder: &Path, replay: &str, bytes: &str) -> String {
    let replay = format!("[routes.replay]\nstore = \"disk\"\n{replay}");
    let folder = folder.display();
    let tables = "[admin]\naddress = \"127.0.0.1:0\"";
    plain(&origin.url(), &format!("{replay}\n[store]\npath = \"{folder}\"\nbytes = \"{bytes}\"\n{tables}"))
}

async fn end(gateway: Rillgate) {
    gateway.signal("TERM");
    let status = gateway.wait_exit(DEADLINE).await;
    assert!(status.success(), "{status}");
}

async fn get(gateway: &Rillgate, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await
}

/// Whether the sum over all series of a metric is at least `least`.
async fn has_counted(gateway: &Rillgate, series: &str, least: f64) -> bool {
    let metrics = get(gateway, "/metrics").await;
    let values = metrics.lines().filter_map(|line| line.strip_prefix(series)?.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() >= least
}

async fn wait_stored(gateway: &Rillgate) {
    // The gauge is updated once a second, and counts events until they are written.
    eventually(DEADLINE, || async {
        let metrics = get(gateway, "/metrics").await;
        let is = |series: &str| metrics.lines().any(|line| line == series);
        is("rillgate_store_queue_events 0") && !is("rillgate_event_log_events{route=\"all\"} 0")
    })
    .await;
}

async fn emit_to(origin: &Origin, reader: &mut Subscription, numbers: std::ops::RangeInclusive<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
        let event = reader.next_event(DEADLINE).await;
        assert_eq!(event.data, number.to_string());
        ids.push(event.last_event_id);
    }
    ids
}

async fn data(reader: &mut Subscription, count: usize) -> Vec<usize> {
    reader.next_events(count).await.iter().map(|event| event.data.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_killed_gateway_resume_exactly() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let config = config(&origin, folder.path(), "", "64MiB");
    let mut gateway = Rillgate::start(&config).await;
    let mut last = 0;
    for round in 0..3 {
        let position = last.to_string();
        let headers: &[(&str, &str)] = if last == 0 { &[] } else { &[("last-event-id", &position)] };
        let mut http1 = Client::http1(gateway.address()).subscribe("/a", headers).await;
        let mut http2 = Client::http2(gateway.address()).subscribe("/a", headers).await;
        if round > 0 {
            for client in [&http1, &http2] {
                assert!(
                    client.header("rillgate-resume").starts_with("resumed"),
                    "{}",
                    client.header("rillgate-resume")
                );
            }
            let asked = origin.requests().last().unwrap().last_event_id().map(|id| id.parse::<usize>().unwrap());
            assert!(asked.is_some_and(|asked| asked <= last), "asked for {asked:?} of {last}");
        }

        emit_to(&origin, &mut http1, last + 1..=last + 20).await;
        assert_eq!(data(&mut http2, 20).await, (last + 1..=last + 20).collect::<Vec<_>>());
        last += 20;
        // In the first round everything is stored. In later rounds the newest events may be lost.
        if round == 0 {
            wait_stored(&gateway).await;
        }
        gateway.restart().await;
    }

    let mut old = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "10")]).await;

    // A restart is a gap unless the upstream proves otherwise. The log contains the gap if that part was stored.
    let verdict = old.header("rillgate-resume");
    assert!(verdict.starts_with("resumed") || verdict == "gap;reason=upstream", "{verdict}");
    assert_eq!(data(&mut old, 50).await, (11..=60).collect::<Vec<_>>());
}

#[tokio::test]
async fn clients_of_a_stored_stream_are_held_and_new_streams_get_the_refusal() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let mut gateway = Rillgate::start(&config(&origin, folder.path(), "", "64MiB")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=2).await;
    wait_stored(&gateway).await;
    origin.refuse(404);
    gateway.restart().await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut returning = client.subscribe("/a", &[("last-event-id", "1")]).await;
        assert_eq!(returning.header("rillgate-resume"), "resumed;missed=1");
        assert_eq!(data(&mut returning, 1).await, [2]);
    }
    assert_eq!(Client::http1(gateway.address()).subscribe("/b", &[]).await.status.as_u16(), 404);
}

#[tokio::test]
async fn minted_ids_continue_after_a_clean_end_and_are_never_reused_after_a_kill() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let config = config(&origin, folder.path(), "ids = \"replace\"", "64MiB");
    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let ids = emit_to(&origin, &mut reader, 1..=5).await;
    end(gateway).await;

    let mut gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", &ids[2])]).await;
    assert_eq!(reader.header("rillgate-resume"), "resumed;missed=2");
    assert_eq!(data(&mut reader, 2).await, [4, 5]);
    let later = emit_to(&origin, &mut reader, 6..=7).await;
    let epoch = |id: &str| id.split_once('-').unwrap().0.to_owned();
    assert_eq!(later[1], format!("{}-7", epoch(&ids[0])));
    assert_eq!(origin.requests()[1].last_event_id(), Some("5"));
    wait_stored(&gateway).await;
    gateway.restart().await;

    let mut reader = Client::http2(gateway.address()).subscribe("/a", &[("last-event-id", &later[0])]).await;
    assert_eq!(data(&mut reader, 1).await, [7]);
    let last = emit_to(&origin, &mut reader, 8..=8).await;
    assert_ne!(epoch(&last[0]), epoch(&later[0]));
    let unknown = format!("{}-8", epoch(&later[0]));
    let lost = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", &unknown)]).await;
    assert_eq!(lost.header("rillgate-resume"), "gap;reason=restarted");
}

#[tokio::test]
async fn a_stream_closed_after_its_linger_is_restored_from_the_store() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let config = config(&origin, folder.path(), "", "64MiB");
    let gateway = Rillgate::start(&config.replace("[store]", "[routes.delivery]\nlinger = \"1ms\"\n[store]")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=5).await;
    drop(reader);
    eventually(DEADLINE, || async { origin.connections().open == 0 }).await;

    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "2")]).await;

    assert_eq!(reader.header("rillgate-resume"), "resumed;missed=3");
    assert_eq!(data(&mut reader, 3).await, [3, 4, 5]);
    assert_eq!(origin.requests()[1].last_event_id(), Some("5"));
    assert!(reader.comments().iter().all(|comment| !comment.contains("gap")), "{:?}", reader.comments());
    emit_to(&origin, &mut reader, 6..=6).await;
}

#[tokio::test]
async fn a_full_store_drops_the_oldest_and_delays_no_event() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let config = config(&origin, folder.path(), "", "1MiB");
    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let large = "x".repeat(50_000);
    for _ in 0..200 {
        origin.emit(Emission::event("1", "", &large));
        assert_eq!(reader.next_event(DEADLINE).await.data.len(), large.len());
    }

    eventually(DEADLINE, || async { has_counted(&gateway, "rillgate_store_given_up_total", 1.0).await }).await;
    wait_stored(&gateway).await;
    assert!(!has_counted(&gateway, "rillgate_store_bytes", 1_100_000.0).await);
    // The file may take twice the bound and one batch of writes (docs/store.md).
    let size = folder.path().join("events.redb").metadata().unwrap().len();
    assert!(size <= 2 * (1 << 20) + 4 * (8 << 20), "{size} bytes in the file");
    assert!(get(&gateway, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.log().iter().filter(|line| line.contains("store at its size limit")).count(), 1);
}

/// Flips every byte of a part, or cuts the file.
fn damage(file: &Path, how: &str) {
    let mut content = std::fs::read(file).unwrap();
    match how {
        "cut" => content.truncate(content.len() / 3),
        "head" => content[..4096].iter_mut().for_each(|byte| *byte ^= 0x55),
        _ => content[4096..].iter_mut().for_each(|byte| *byte ^= 0x55),
    }
    std::fs::write(file, content).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_quarantined_and_a_new_one_created() {
    for how in ["cut", "head", "body"] {
        let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
        origin.honour_last_event_id();
        let config = config(&origin, folder.path(), "", "64MiB");
        let gateway = Rillgate::start(&config).await;
        let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
        emit_to(&origin, &mut reader, 1..=5).await;
        end(gateway).await;
        damage(&folder.path().join("events.redb"), how);

        let mut gateway = Rillgate::start(&config).await;
        let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "5")]).await;
        gateway.wait_line("store corrupt", DEADLINE).await;

        assert_eq!(reader.header("rillgate-resume"), "gap;reason=unknown", "{how}");
        assert!(folder.path().join("events.corrupt-1.redb").exists(), "{how}");
        emit_to(&origin, &mut reader, 6..=8).await;
        wait_stored(&gateway).await;
        eventually(DEADLINE, || async { !get(&gateway, "/readyz").await.contains("\"store\":") }).await;
        gateway.restart().await;
        let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "6")]).await;
        assert_eq!(data(&mut reader, 2).await, [7, 8], "{how}");
    }
}

#[tokio::test]
async fn a_store_path_that_is_not_a_folder_is_refused() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = folder.path().join("rillgate.toml");
    std::fs::write(&path, config(&origin, &file.join("store"), "", "64MiB")).unwrap();
    for command in ["check", "serve"] {
        let process = Process::start(Rillgate::command().arg(command).arg("--config").arg(&path));

        assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(78));
        let said = format!("store.path: {} is not a folder", file.display());
        process.wait_line(&said, DEADLINE).await;
    }
}

#[tokio::test]
async fn only_ids_older_than_a_stored_log_are_read_through() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let mut gateway =
        Rillgate::start(&config(&origin, folder.path(), "events = 10\nread_through = true", "64MiB")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=40).await;
    wait_stored(&gateway).await;
    gateway.restart().await;

    let mut recent = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "35")]).await;
    let mut old = Client::http2(gateway.address()).subscribe("/a", &[("last-event-id", "25")]).await;

    assert_eq!(recent.header("rillgate-resume"), "resumed;missed=5");
    assert_eq!(old.header("rillgate-resume"), "resumed;missed=15");
    let asked: Vec<_> = origin.requests().iter().map(|request| request.last_event_id().map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("40".to_owned()), Some("25".to_owned())]);
    assert_eq!(data(&mut recent, 5).await, (36..=40).collect::<Vec<_>>());
    emit_to(&origin, &mut recent, 41..=41).await;
    assert_eq!(data(&mut old, 16).await, (26..=41).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_second_gateway_waits_for_the_store_lock_and_takes_over() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.honour_last_event_id();
    let config = config(&origin, folder.path(), "", "64MiB");
    let first = Rillgate::start(&config).await;
    let mut reader = Client::http1(first.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=3).await;
    wait_stored(&first).await;

    let mut second = Rillgate::start(&config).await;
    second.wait_line("another process has the store open", DEADLINE).await;
    let mut late = Client::http1(second.address()).subscribe("/b", &[]).await;
    origin.wait_open(2).await;
    emit_to(&origin, &mut late, 4..=5).await;
    end(first).await;
    second.wait_line("store in use", Duration::from_secs(20)).await;
    let mut moved = Client::http1(second.address()).subscribe("/a", &[("last-event-id", "2")]).await;

    assert_eq!(data(&mut moved, 3).await, [3, 4, 5]);
    wait_stored(&second).await;
    second.restart().await;
    let mut late = Client::http1(second.address()).subscribe("/b", &[("last-event-id", "4")]).await;
    assert_eq!(data(&mut late, 1).await, [5]);
}

#[tokio::test]
async fn an_up_to_date_client_of_an_expired_log_resumes_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let config = config(&origin, folder.path(), "age = \"6s\"", "64MiB");
    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=3).await;
    wait_stored(&gateway).await;
    let empty = "rillgate_event_log_events{route=\"all\"} 0";
    eventually(DEADLINE, || async { get(&gateway, "/metrics").await.contains(empty) }).await;
    drop(reader);
    end(gateway).await;

    let gateway = Rillgate::start(&config).await;
    for (id, verdict) in [("3", "resumed;missed=0"), ("2", "gap;reason=unknown")] {
        let client = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", id)]).await;
        assert_eq!(client.header("rillgate-resume"), verdict);
    }
}

#[tokio::test]
async fn a_complete_stream_stays_complete_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let config = config(&origin, folder.path(), "", "64MiB");
    let config = config.replace("auth = \"public\"", "auth = \"public\"\non_end = \"complete\"");
    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    emit_to(&origin, &mut reader, 1..=3).await;
    origin.cut(crate::support::script::Cut::End);
    reader.expect_end(DEADLINE).await;
    end(gateway).await;

    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;

    let events = reader.expect_end(DEADLINE).await;
    assert_eq!(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!(origin.requests().len(), 1);
}
