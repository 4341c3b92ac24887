//! Ambiguous requests: each hides a second request that only one of two parsers sees, and no application may see it.

use serde_json::{Value, json};

use crate::fixture::{Site, get, site_behind_gateway};
use crate::support::client::Client;
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;

/// The request that is hidden.
const HIDDEN: &str = "GET /victim HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn assert_unseen(site: &Site, gateway: &Rillgate) {
    assert_eq!(get(&Client::http1(gateway.address()), "/after", &[]).await.status, 200);
    let stats = site.stats().await;
    let targets: Vec<_> = stats["targets"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(targets.iter().all(|target| !target.contains("victim")), "{targets:?}");
}

#[tokio::test]
async fn a_request_with_an_ambiguous_length_is_refused() {
    let (site, gateway) = site_behind_gateway("").await;
    let client = Client::http1(gateway.address());

    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 0\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding : chunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: ",
        "content-length: 18446744073709551621",
        "content-length : 5",
        "x: a\r\n b",
        "x: a\ncontent-length: 5",
        "x: a\rcontent-length: 5",
    ] {
        for method in ["GET", "POST"] {
            let request = format!("{method} /echo HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n0\r\n\r\n{HIDDEN}");
            let text = Raw::exchange(&client, request.as_bytes()).await;
            assert!((400..500).contains(&status(&text)), "{fields:?}: {text:?}");
        }
    }

    assert_unseen(&site, &gateway).await;
}

#[tokio::test]
async fn a_bad_chunk_ends_the_exchange_and_the_connection() {
    let (site, gateway) = site_behind_gateway("idle_timeout = \"1s\"").await;
    let client = Client::http1(gateway.address());

    for chunk in [
        "Z\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        "5\r\nhello0\r\n\r\n",
    ] {
        let request =
            format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{HIDDEN}");
        let text = Raw::exchange(&client, request.as_bytes()).await;
        assert!(text.is_empty() || (400..500).contains(&status(&text)), "{chunk:?}: {text:?}");
    }

    assert_unseen(&site, &gateway).await;
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request_and_is_seen_once() {
    let (site, gateway) = site_behind_gateway("").await;
    let next = "GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let request = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello{next}");

    let text = Raw::exchange(&Client::http1(gateway.address()), request.as_bytes()).await;

    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    assert_eq!(site.stats().await["targets"], json!(["POST /echo", "GET /next", "GET /stats"]));
}
