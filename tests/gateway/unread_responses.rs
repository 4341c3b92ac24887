//! Clients that send request after request on one HTTP/1.1 connection and never read.

use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, metric, resident};
use crate::support::origin::Origin;
use crate::support::raw::{self, Raw};
use crate::support::setup::Setup;

/// Sends `request` until the gateway closes the connection. Its memory must not grow meanwhile: hyper reads the next
/// request only once the answer before it is flushed, also one without a body.
async fn flood(request: &str, status: u16) {
    const PIECES: usize = 400;
    // The kernel takes some dozens for a client with so small a window. The requests sent are some ten thousands.
    const MOST_ANSWERS: f64 = 5000.0;
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .limits("idle_timeout = \"1s\"\nheader_timeout = \"1s\"")
        .after("[routes.cors]\norigins = [\"*\"]\n")
        .start()
        .await;
    let client = Client::http1(gateway.address()).receive_buffer(4096);
    let single = Raw::exchange(&client, format!("{request}connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(raw::status(&single), status);
    let piece = format!("{request}\r\n").repeat(64 * 1024 / request.len());
    let mut raw = Raw::dial(&client).await;
    let before = resident(&gateway);

    let mut sent = 0;
    while raw.try_send(piece.as_bytes()).await.is_ok() {
        sent += 1;
        assert!(sent < PIECES, "still read after {PIECES} pieces");
    }

    let answered = metric(&gateway, "requests_total", &[&format!("status=\"{status}\"")]).await;
    assert!((2.0..MOST_ANSWERS).contains(&answered), "{answered} requests answered");
    assert_grown_by_less_than(&gateway, before, 8);
}

#[tokio::test]
async fn answers_without_a_body_that_nobody_reads_stop_the_requests() {
    flood("OPTIONS /prices HTTP/1.1\r\nhost: a\r\norigin: http://a\r\naccess-control-request-method: GET\r\n", 204)
        .await;
    flood("HEAD /prices HTTP/1.1\r\nhost: a\r\n", 200).await;
}

#[tokio::test]
async fn refusals_that_nobody_reads_stop_the_requests() {
    flood("GET /nothing/here HTTP/1.1\r\nhost: a\r\n", 404).await;
}
