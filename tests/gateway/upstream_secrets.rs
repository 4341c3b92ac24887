//! A renewed secret in an upstream's headers: the stream reconnects with it, and its clients are not affected.

use std::fs::write;
use std::path::Path;

use crate::support::client::{Client, Protocol};
use crate::support::figures::{lines_with, metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// Returns a configuration that sends the contents of the file `key` upstream. The backoff is longer than any test.
fn setup(origin: &Origin, folder: &Path) -> Setup {
    Setup::for_origin(&origin.url())
        .upstream(&format!("headers = {{ x-key = {{ file = \"{}\" }} }}", folder.join("key").display()))
        .upstream("backoff = { initial = \"1h\", max = \"1h\" }")
}

async fn reload(gateway: &Rillgate, count: usize) {
    gateway.signal("HUP");
    wait_metric(gateway, "config_reloads_total", &["result=\"ok\""], count as f64).await;
}

async fn subscribe_clients(gateway: &Rillgate) -> Vec<Subscription> {
    let mut clients = Vec::new();
    for number in 0..20 {
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        clients.push(Client::new(protocol, gateway.address()).subscribe("/prices", &[]).await);
    }
    clients
}

async fn emit_to(origin: &Origin, clients: &mut [Subscription], id: u32) {
    origin.emit(Emission::event(&id.to_string(), "", "said"));
    for client in clients {
        assert_eq!(client.next_event(DEADLINE).await.last_event_id, id.to_string());
    }
}

/// Lets the origin confirm that it resumes after the requested id, so that nothing counts as missed.
fn confirm_resumes(origin: &Origin) {
    origin.answer(|request| Answer::stream().header("last-event-id", request.last_event_id().unwrap_or_default()));
}

#[tokio::test]
async fn a_renewed_secret_reconnects_at_once_and_ends_no_client() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    write(folder.path().join("key"), "old\n").unwrap();
    let gateway = setup(&origin, folder.path()).start().await;
    let mut clients = subscribe_clients(&gateway).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 1).await;
    confirm_resumes(&origin);

    for (count, key) in ["new", "newer"].into_iter().enumerate() {
        write(folder.path().join("key"), key).unwrap();
        let seen = origin.requests().len();
        reload(&gateway, count + 1).await;
        origin.wait_requests(seen + 1).await;
        origin.wait_open(1).await;
        emit_to(&origin, &mut clients, count as u32 + 2).await;
    }

    let shown: Vec<_> = origin.requests().iter().map(|request| request.header("x-key").unwrap().to_owned()).collect();
    assert_eq!(shown, ["old", "new", "newer"]);
    assert_eq!(origin.requests()[2].last_event_id(), Some("2"));
    assert!(clients.iter().all(|client| !client.comments().iter().any(|comment| comment.contains("gap"))));
    assert_eq!(lines_with(&gateway, &["upstream lost"]), 0, "a renewal was logged as a failure: {:?}", gateway.log());
    let late = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
    assert_eq!(late.header("rillgate-resume"), "resumed;missed=2");
}

#[tokio::test]
async fn a_stream_refused_for_its_secret_retries_at_once_when_it_is_renewed() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    write(folder.path().join("key"), "good").unwrap();
    let gateway = setup(&origin, folder.path()).start().await;
    let mut clients = subscribe_clients(&gateway).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 1).await;
    origin.answer(|request| match request.header("x-key") {
        Some("better") => Answer::stream(),
        _ => Answer::status(401),
    });
    write(folder.path().join("key"), "wrong").unwrap();
    reload(&gateway, 1).await;
    gateway.wait_line("the upstream answered 401", DEADLINE).await;

    write(folder.path().join("key"), "better").unwrap();
    reload(&gateway, 2).await;

    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 2).await;
}

#[tokio::test]
async fn a_changed_plain_header_makes_another_stream() {
    let origin = Origin::start().await;
    let config = |value: &str| {
        let setup = Setup::for_origin(&origin.url()).upstream(&format!("headers = {{ x-mode = \"{value}\" }}"));
        setup.server("drain = { spread = \"10ms\" }").toml()
    };
    let gateway = Rillgate::start(&config("one")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    gateway.rewrite(&config("two"));
    reload(&gateway, 1).await;

    client.text().await;
    let again = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    assert_eq!(again.status, 200);
    assert_eq!(origin.wait_requests(2).await[1].header("x-mode"), Some("two"));
}

#[tokio::test]
async fn a_disk_log_survives_a_changed_secret() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    write(folder.path().join("key"), "old").unwrap();
    let store = format!("[store]\npath = \"{}\"\n", folder.path().join("store").display());
    let mut gateway = setup(&origin, folder.path()).replay("store = \"disk\"").after(&store).start().await;
    let mut clients = subscribe_clients(&gateway).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 1).await;
    confirm_resumes(&origin);

    write(folder.path().join("key"), "new").unwrap();
    reload(&gateway, 1).await;
    origin.wait_requests(2).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut clients, 2).await;
    wait_metric(&gateway, "event_log_events", &["route=\"all\""], 2.0).await;
    eventually(DEADLINE, || async { metric(&gateway, "store_queue_events", &[]).await == 0.0 }).await;
    write(folder.path().join("key"), "newest").unwrap();
    gateway.restart().await;

    let client = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
    assert_eq!(client.header("rillgate-resume"), "resumed;missed=1");
    eventually(DEADLINE, || async {
        origin.requests().last().is_some_and(|request| request.header("x-key") == Some("newest"))
    })
    .await;
    assert_eq!(origin.requests().last().unwrap().last_event_id(), Some("2"));
}
