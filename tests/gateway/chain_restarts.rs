//! The situations of the table in docs/chaining.md. In each, no event is lost without a gap that was told, and none comes
//! twice.

use std::fs::{rename, write};
use std::path::Path;

use serde_json::json;

use crate::auth::fixture::{AuthFixture, in_seconds, route, token};
use crate::chain_fixture::{Chain, Reader};
use crate::support::figures::{lines_with, metric};
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

fn plain(setup: Setup) -> Setup {
    setup
}

fn read_through(setup: Setup) -> Setup {
    setup.replay("read_through = true")
}

fn gaps(readers: &[Reader]) -> Vec<String> {
    readers.iter().flat_map(|reader| reader.gaps.clone()).collect()
}

/// Kills and restarts the edges one after the other, three times, with events in between.
async fn kill_edges(chain: &mut Chain, readers: &mut [Reader]) {
    for round in 0..3 {
        chain.edges[round % 2].kill().await;
        chain.emit(3);
        chain.edges[round % 2].restart().await;
        chain.reconnect(readers).await;
        chain.emit_to(readers, 3).await;
    }
}

/// Kills the core, emits events while it is away, and restarts it.
async fn kill_core(chain: &mut Chain, readers: &mut [Reader]) {
    chain.cores[0].kill().await;
    chain.emit(3);
    chain.cores[0].restart().await;
    chain.reconnect(readers).await;
    chain.emit_to(readers, 3).await;
}

#[tokio::test]
async fn a_killed_edge_without_read_through_tells_a_gap() {
    let mut chain = Chain::start(1, plain, plain).await;
    let mut readers = chain.readers().await;

    kill_edges(&mut chain, &mut readers).await;

    assert!(!gaps(&readers).is_empty());
    assert!(gaps(&readers).iter().all(|gap| gap.ends_with("gap;reason=unknown")), "{:?}", gaps(&readers));
}

#[tokio::test]
async fn a_killed_edge_with_read_through_loses_nothing() {
    let mut chain = Chain::start(1, plain, read_through).await;
    let mut readers = chain.readers().await;

    kill_edges(&mut chain, &mut readers).await;

    assert_eq!(gaps(&readers), [""; 0]);
}

#[tokio::test]
async fn a_killed_core_tells_a_gap() {
    let mut chain = Chain::start(1, plain, plain).await;
    let mut readers = chain.readers().await;

    kill_core(&mut chain, &mut readers).await;
    kill_core(&mut chain, &mut readers).await;

    assert!(readers.iter().all(|reader| !reader.gaps.is_empty()));
}

#[tokio::test]
async fn a_killed_core_with_read_through_loses_nothing() {
    let mut chain = Chain::start(1, read_through, plain).await;
    let mut readers = chain.readers().await;

    kill_core(&mut chain, &mut readers).await;
    kill_core(&mut chain, &mut readers).await;

    assert_eq!(gaps(&readers), [""; 0]);
}

#[tokio::test]
async fn the_second_of_two_cores_takes_over_without_a_gap() {
    // An edge that missed nothing is asked for proof too, and a core that has just been started has no log.
    let mut chain = Chain::start(2, read_through, |setup| setup.upstream("overlap = 1")).await;
    let mut readers = chain.readers().await;

    for killed in [0, 1, 0] {
        chain.cores[killed].kill().await;
        chain.emit(3);
        chain.catch_up(&mut readers).await;
        chain.cores[killed].restart().await;
        chain.emit_to(&mut readers, 3).await;
    }

    assert_eq!(gaps(&readers), [""; 0]);
}

#[tokio::test]
async fn a_killed_core_with_its_logs_on_disk_and_an_overlap_loses_nothing() {
    let disk =
        |setup: Setup| setup.upstream("overlap = 1").replay("store = \"disk\"").after("[store]\npath = \"store\"\n");
    let mut chain = Chain::start(1, disk, plain).await;
    let mut readers = chain.readers().await;

    for _ in 0..2 {
        // What is not stored yet cannot be a proof. The queue is known once something is stored.
        let core = &chain.cores[0];
        eventually(DEADLINE, || async {
            metric(core, "store_bytes", &[]).await > 0.0 && metric(core, "store_queue_events", &[]).await == 0.0
        })
        .await;
        kill_core(&mut chain, &mut readers).await;
    }

    assert_eq!(gaps(&readers), [""; 0]);
}

#[tokio::test]
async fn edges_and_cores_killed_at_once_lose_nothing_with_read_through_on_both() {
    let mut chain = Chain::start(1, read_through, read_through).await;
    let mut readers = chain.readers().await;

    for _ in 0..2 {
        for gateway in chain.edges.iter().chain(&chain.cores) {
            gateway.kill().await;
        }
        chain.emit(3);
        for edge in &mut chain.edges {
            edge.restart().await;
        }
        // The clients come back while the core is away, and wait.
        for reader in &mut readers {
            reader.reconnect().await;
        }
        chain.cores[0].restart().await;
        chain.catch_up(&mut readers).await;
        chain.emit_to(&mut readers, 3).await;
    }

    assert_eq!(gaps(&readers), [""; 0]);
}

/// Starts a core that needs a token, and edges that show the one in the file `edge.jwt` of `folder`.
async fn with_token(folder: &Path, seconds: f64) -> (AuthFixture, Chain) {
    let auth = AuthFixture::new().await;
    let producer = Origin::start().await;
    let routes = route("all", "/{name}", "expiry_spread = \"0s\"\n[routes.replay]\nread_through = true");
    let config = auth.config_with_main("0s", &routes).replace(&auth.origin.url(), &producer.url());
    let core = Rillgate::start(&config).await;
    renew(folder, seconds);
    let url = format!("https://{}", core.address());
    let (file, authority) = (folder.join("edge.jwt"), auth.authority.file());
    let edge = |setup: Setup| {
        read_through(setup)
            .upstream(&format!("token = {{ file = \"{}\" }}", file.display()))
            .upstream(&format!("tls = {{ ca_file = \"{}\" }}", authority.display()))
    };
    let chain = Chain::in_front_of(producer, core, &url, edge).await;
    (auth, chain)
}

fn renew(folder: &Path, seconds: f64) {
    write(folder.join("next"), token(&json!({ "exp": in_seconds(seconds) }))).unwrap();
    rename(folder.join("next"), folder.join("edge.jwt")).unwrap();
}

#[tokio::test]
async fn killed_edges_with_a_service_token_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_auth, mut chain) = with_token(folder.path(), 600.0).await;
    let mut readers = chain.readers().await;

    kill_edges(&mut chain, &mut readers).await;

    assert_eq!(gaps(&readers), [""; 0]);
}

#[tokio::test]
async fn a_service_token_that_is_renewed_again_and_again_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_auth, mut chain) = with_token(folder.path(), 2.0).await;
    let mut readers = chain.readers().await;

    for round in 1..=3 {
        // The core ends the responses of a token that expires, and the edges come back with the next one.
        renew(folder.path(), 2.0);
        let edge = &chain.edges[0];
        eventually(DEADLINE, || async { lines_with(edge, &["upstream token renewed"]) >= round }).await;
        chain.emit_to(&mut readers, 3).await;
    }

    assert_eq!(gaps(&readers), [""; 0]);
    assert!(readers.iter().all(Reader::has_one_response));
}
