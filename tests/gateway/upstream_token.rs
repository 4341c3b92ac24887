//! `upstreams.NAME.token`: the gateway's own token, which is renewed in its file without a reload.

use std::fs::{remove_file, rename, write};
use std::path::Path;

use crate::support::client::Client;
use crate::support::figures::{lines_with, metric};
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

fn setup(origin: &Origin, folder: &Path) -> Setup {
    Setup::for_origin(&origin.url())
        .upstream(&format!("token = {{ file = \"{}\" }}", folder.join("token").display()))
        .upstream("backoff = { initial = \"20ms\", max = \"50ms\" }")
}

/// Replaces the file as a renewing agent does.
fn renew(folder: &Path, token: &str) {
    write(folder.join("next"), token).unwrap();
    rename(folder.join("next"), folder.join("token")).unwrap();
}

fn shown(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|request| request.header("authorization").unwrap_or_default().to_owned()).collect()
}

async fn emit_to(origin: &Origin, client: &mut Subscription, id: &str) {
    origin.emit(Emission::event(id, "", id));
    assert_eq!(client.next_event(DEADLINE).await.last_event_id, id);
}

#[tokio::test]
async fn a_renewed_token_is_sent_at_the_next_connect_and_ends_nothing() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    renew(folder.path(), "first\n");
    // Changed files of the configuration would reload it.
    let gateway = setup(&origin, folder.path()).start().await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut client, "1").await;

    renew(folder.path(), "second");
    // Another stream of the upstream connects with the new token, and the open one stays.
    let _other = Client::http1(gateway.address()).subscribe("/other", &[]).await;
    emit_to(&origin, &mut client, "2").await;
    assert_eq!(shown(&origin), ["Bearer first", "Bearer second"]);
    assert_eq!(origin.connections().open, 2);

    origin.answer(|request| Answer::stream().header("last-event-id", request.last_event_id().unwrap_or_default()));
    origin.cut(Cut::Fin);
    origin.wait_open(2).await;
    emit_to(&origin, &mut client, "3").await;
    assert_eq!(shown(&origin)[2..], ["Bearer second", "Bearer second"]);
    assert!(!client.comments().iter().any(|comment| comment.contains("gap")), "{:?}", client.comments());
    assert_eq!(metric(&gateway, "config_reloads_total", &["result=\"ok\""]).await, 0.0);
    assert_eq!(lines_with(&gateway, &["upstream token renewed"]), 1);
    assert_eq!(lines_with(&gateway, &["Bearer"]) + lines_with(&gateway, &["second"]), 0);
}

#[tokio::test]
async fn a_stream_refused_for_an_expired_token_returns_with_the_renewed_one() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    renew(folder.path(), "good");
    let gateway = setup(&origin, folder.path()).start().await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut client, "1").await;
    origin.answer(|request| match request.header("authorization") {
        Some("Bearer better") => Answer::stream(),
        _ => Answer::status(401),
    });
    origin.cut(Cut::Fin);
    gateway.wait_line("the upstream answered 401", DEADLINE).await;

    // An unusable file is no token.
    renew(folder.path(), "");
    gateway.wait_line("upstream token not renewed", DEADLINE).await;
    renew(folder.path(), "better");

    origin.wait_open(1).await;
    emit_to(&origin, &mut client, "2").await;
}

#[tokio::test]
async fn a_token_is_no_part_of_the_streams_identity() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    renew(folder.path(), "first");
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    emit_to(&origin, &mut client, "1").await;

    gateway.rewrite(&setup(&origin, folder.path()).toml());
    gateway.wait_line("configuration reloaded", DEADLINE).await;

    emit_to(&origin, &mut client, "2").await;
    assert_eq!(origin.requests().len(), 1);
    let joined = Client::http1(gateway.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
    assert_eq!(joined.header("rillgate-resume"), "resumed;missed=1");
}

#[tokio::test]
async fn a_file_that_is_missing_at_the_first_connect_is_reported_once() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    renew(folder.path(), "first");
    let gateway = setup(&origin, folder.path()).start().await;
    remove_file(folder.path().join("token")).unwrap();

    let _first = Client::http1(gateway.address()).subscribe("/first", &[]).await;
    let _second = Client::http1(gateway.address()).subscribe("/second", &[]).await;

    gateway.wait_line("upstream token not renewed", DEADLINE).await;
    assert_eq!(shown(&origin), ["Bearer first", "Bearer first"]);
    assert_eq!(lines_with(&gateway, &["upstream token not renewed"]), 1);
}
