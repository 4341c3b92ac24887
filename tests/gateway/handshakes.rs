//! Handshakes beside a storm of connections from other addresses, at a small `handshakes_per_second`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::origin::Origin;
use crate::support::raw::Raw;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

/// Returns a whole ClientHello.
fn client_hello(config: ClientConfig) -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Connects from an address again and again, sends `bytes`, and leaves.
async fn connect_and_leave(client: Client, bytes: Vec<u8>) {
    loop {
        if let Ok(mut transport) = client.dial().await {
            let _ = transport.write_all(&bytes).await;
        }
        // The rate of one attacker.
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn honest_clients_shake_hands_beside_a_storm_of_connections() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let limits = "handshakes_per_second = 40\nhandshake_timeout = \"10s\"";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).tls(&authority.server()).start().await;
    let plain = Client::http1(gateway.address());
    let hello = client_hello(authority.client_config());
    let mut storm = tokio::task::JoinSet::new();
    let mut silent = Vec::new();
    for last in 2..8 {
        let attacker = plain.clone().coming_from(IpAddr::from([127, 0, 0, last]));
        silent.extend(join_all((0..20).map(|_| Raw::dial(&attacker))).await);
        // Three addresses send nothing, three a whole ClientHello.
        let bytes = if last % 2 == 0 { Vec::new() } else { hello.clone() };
        storm.spawn(connect_and_leave(attacker, bytes));
    }
    eventually(DEADLINE, || async { metric(&gateway, "connections_total", &[]).await > 500.0 }).await;

    let honest = plain.clone().tls(&authority);
    let answers = join_all((0..40).map(|_| honest.try_request("HEAD", "/prices", &[]))).await;

    let answered = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)).count();
    assert_eq!(answered, 40);
    assert!(!storm.is_empty(), "the storm went on");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_gives_up_its_turn() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let limits = "handshakes_per_second = 1\nhandshake_timeout = \"60s\"";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).tls(&authority.server()).start().await;
    let plain = Client::http1(gateway.address());
    let hello = client_hello(authority.client_config());
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::dial(&plain).await;
        raw.send(&hello).await;
        waiting.push(raw);
    }
    wait_metric(&gateway, "rate_waits_total", &["limit=\"handshakes_per_second\""], 98.0).await;

    drop(waiting);

    // A hundred turns would take 100 s.
    let answer = plain.tls(&authority).try_request("HEAD", "/prices", &[]).await.unwrap();
    assert_eq!(answer.status, 200);
    wait_metric(&gateway, "tls_handshakes_total", &["result=\"refused\""], 97.0).await;
}
