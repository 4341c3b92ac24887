//! `upstreams.NAME.http2 = true`: an edge reads many streams of its core on few connections.

use crate::chain_fixture::{Chain, QUICK};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::origin::{Emission, Origin};
use crate::support::reserved_addr::reserve;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

fn edge(core: &str) -> Setup {
    Setup::for_origin(core).upstream(QUICK).upstream("http2 = true")
}

async fn subscribe(edge: &Rillgate, streams: usize) -> Vec<Subscription> {
    let mut connection = Client::http2(edge.address()).connect().await.unwrap();
    let mut readers = Vec::new();
    for stream in 0..streams {
        readers.push(connection.subscribe(&format!("/{stream}"), &[]).await);
    }
    readers
}

async fn emit_to(origin: &Origin, readers: &mut [Subscription], number: usize) {
    origin.wait_open(readers.len()).await;
    origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
    for reader in readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, number.to_string());
    }
}

async fn connections(core: &Rillgate) -> f64 {
    metric(core, "connections_total", &[]).await
}

#[tokio::test]
async fn all_streams_share_one_connection() {
    let origin = Origin::start().await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).start().await;
    let edge = edge(&format!("http://{}", core.address())).start().await;

    let mut readers = subscribe(&edge, 100).await;
    emit_to(&origin, &mut readers, 1).await;

    assert_eq!(connections(&core).await, 1.0);
}

#[tokio::test]
async fn an_event_may_be_larger_than_the_window_of_a_stream() {
    let large = "x".repeat(900_000);
    let event = format!("id: 1\ndata: {large}\n\n");
    let origin = Origin::start_with(move |_| Answer::stream().then(event.clone())).await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).start().await;
    let edge = edge(&format!("http://{}", core.address())).start().await;

    let mut reader = Client::http1(edge.address()).subscribe("/large", &[("last-event-id", "0")]).await;

    assert!(reader.next_event(DEADLINE).await.data == large);
}

#[tokio::test]
async fn the_streams_that_a_core_allows_on_a_connection_are_not_exceeded() {
    let origin = Origin::start().await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).limits("h2_streams = 10").start().await;
    let edge = edge(&format!("http://{}", core.address())).start().await;

    let mut readers = subscribe(&edge, 35).await;
    emit_to(&origin, &mut readers, 1).await;

    assert_eq!(connections(&core).await, 4.0);
}

#[tokio::test]
async fn all_streams_of_a_broken_connection_resume() {
    let (origin, address) = (Origin::start().await, reserve());
    origin.honour_last_event_id();
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).replay("read_through = true").toml_at(address);
    let mut core = Rillgate::start(&core).await;
    let edge = edge(&format!("http://{address}")).start().await;
    let mut readers = subscribe(&edge, 20).await;
    emit_to(&origin, &mut readers, 1).await;

    core.kill().await;
    origin.wait_open(0).await;
    origin.emit(Emission::event("2", "", "2"));
    core.restart().await;

    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "2");
        assert!(!reader.comments().iter().any(|comment| comment.contains("gap")), "{:?}", reader.comments());
    }
    emit_to(&origin, &mut readers, 3).await;
}

/// Two cores, of which each ends its responses within half a second when it drains, and edges that prove that nothing is
/// missing.
async fn chain_of_two() -> Chain {
    let drain = "drain = { notice = \"0s\", spread = \"500ms\", deadline = \"10s\" }";
    let core = |setup: Setup| setup.server(drain).replay("read_through = true");
    Chain::start(2, core, |setup| setup.upstream("http2 = true\noverlap = 1\nidle_timeout = \"3s\"")).await
}

#[tokio::test]
async fn a_drain_of_a_core_moves_its_streams_to_another_without_a_gap() {
    let mut chain = chain_of_two().await;
    let mut readers = chain.readers().await;

    for drained in [0, 1] {
        chain.cores[drained].signal("TERM");
        // Each event arrives, whichever core the streams are at.
        while chain.cores[drained].exit_status().is_none() {
            chain.emit_to(&mut readers, 1).await;
        }
        chain.emit_to(&mut readers, 3).await;
        chain.cores[drained].restart().await;
    }

    assert!(readers.iter().all(|reader| reader.gaps.is_empty() && reader.has_one_response()));
}

#[tokio::test]
async fn streams_leave_a_core_that_answers_nothing_any_more() {
    let mut chain = chain_of_two().await;
    let mut readers = chain.readers().await;

    chain.cores[0].signal("STOP");
    chain.emit_to(&mut readers, 1).await;

    assert!(readers.iter().all(|reader| reader.gaps.is_empty() && reader.has_one_response()));
    chain.edges[0].wait_line("no answer to a PING within 1 s", DEADLINE).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_last_stream() {
    let origin = Origin::start().await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).start().await;
    let edge = edge(&format!("http://{}", core.address())).delivery("linger = \"0s\"").start().await;
    let mut readers = subscribe(&edge, 3).await;
    emit_to(&origin, &mut readers, 1).await;
    assert_eq!(metric(&core, "connections", &["protocol=\"h2\""]).await, 1.0);

    drop(readers);

    eventually(DEADLINE, || async { metric(&core, "connections", &["protocol=\"h2\""]).await == 0.0 }).await;
}

#[tokio::test]
async fn https_agrees_on_http2_by_alpn() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).tls(&authority.server()).start().await;
    let tls = format!("tls = {{ ca_file = \"{}\" }}", authority.file().display());
    let edge = edge(&format!("https://{}", core.address())).upstream(&tls).start().await;

    let mut readers = subscribe(&edge, 10).await;
    emit_to(&origin, &mut readers, 1).await;

    assert_eq!(connections(&core).await, 1.0);
}

#[tokio::test]
async fn a_server_without_http2_is_told_apart_with_and_without_tls() {
    let authority = Authority::new();
    let tls = format!("tls = {{ ca_file = \"{}\" }}", authority.file().display());
    let identity = authority.server();
    let refusing = Origin::start_tls(&identity).await;
    let ignoring = Origin::start_tls_config(identity.server_config(&[])).await;
    let plain = Origin::start().await;
    for (origin, tls, reason) in [
        (&refusing, tls.as_str(), "the server does not offer HTTP/2 (ALPN): set http2 = false"),
        (&ignoring, tls.as_str(), "the server does not offer HTTP/2 (ALPN): set http2 = false"),
        (&plain, "", "frame with invalid size (set http2 = false if it speaks HTTP/1.1)"),
    ] {
        let edge = edge(&origin.url()).upstream(tls).start().await;

        let _reader = Client::http1(edge.address()).subscribe("/a", &[]).await;

        edge.wait_line(reason, DEADLINE).await;
    }
}
