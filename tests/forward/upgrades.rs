//! Upgraded connections: WebSocket and any other protocol over HTTP/1.1, and their ends.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Site, config, everything, get, revoke, site_behind_gateway, start, token};
use crate::support::client::Client;
use crate::support::raw::{Raw, status};
use crate::support::wait::DEADLINE;

fn handshake(path: &str, protocol: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: {protocol}\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{fields}\r\n"
    )
}

/// A route whose requests need a token.
pub const ROUTE: &str = "[[routes]]\nname = \"site\"\npath = \"/{*rest}\"\nupstream = \"app\"\n\
    [routes.auth]\nissuers = [\"main\"]\ntoken_from = [\"header\", \"cookie:session\"]\n[routes.forward]\n";

#[tokio::test]
async fn bytes_pass_in_both_directions_after_an_upgrade() {
    let (_site, gateway) = site_behind_gateway("").await;
    let mut raw = Raw::dial(&Client::http1(gateway.address())).await;

    // The first bytes come together with the request.
    raw.send(format!("{}early", handshake("/socket", "echo", "")).as_bytes()).await;

    assert!(raw.read_until("\r\n\r\nearly", DEADLINE).await, "{}", raw.text());
    assert_eq!(status(&raw.text()), 101);
    for number in 0..100 {
        let text = format!("<{number}>");
        raw.send(text.as_bytes()).await;
        assert!(raw.read_until(&text, DEADLINE).await);
    }
}

#[tokio::test]
async fn a_websocket_opens_and_echoes_frames() {
    let (_site, gateway) = site_behind_gateway("").await;
    let mut raw = Raw::dial(&Client::http1(gateway.address())).await;
    raw.send(handshake("/socket", "websocket", "origin: http://localhost\r\n").as_bytes()).await;
    assert!(raw.read_until("\r\n\r\n", DEADLINE).await);
    assert!(raw.text().to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{}", raw.text());

    // "hello" under a mask of zeros (RFC 6455, 5.2).
    raw.send(b"\x81\x85\0\0\0\0hello").await;

    assert!(raw.read_until("\u{5}hello", DEADLINE).await, "{:?}", raw.text());
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer_and_http2_is_never_asked_for() {
    let (site, gateway) = site_behind_gateway("").await;
    let client = Client::http1(gateway.address());

    let mut refused = Raw::dial(&client).await;
    refused.send(handshake("/refused", "websocket", "").as_bytes()).await;
    assert!(refused.read_until("\r\n\r\nno", DEADLINE).await, "{}", refused.text());
    assert_eq!(status(&refused.text()), 403);
    for protocol in ["h2c", "HTTP/2.0", "echo, h2c"] {
        let text = get(&client, "/echo", &[("connection", "upgrade"), ("upgrade", protocol)]).await.json();
        assert!(text["headers"]["upgrade"].is_null(), "{text}");
    }
    assert_eq!(site.stats().await["upgrades"], json!(1));
}

#[tokio::test]
async fn an_upgrade_needs_its_token_and_ends_at_revocation() {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), ROUTE)).await;
    let client = Client::http1(gateway.address());
    let cookie = format!("cookie: session={}\r\n", token(&json!({ "jti": "one" })));
    for (fields, expected) in [(String::new(), 401), (format!("{cookie}origin: https://evil.example\r\n"), 403)] {
        let mut raw = Raw::dial(&client).await;
        raw.send(handshake("/socket", "echo", &fields).as_bytes()).await;
        assert!(raw.read_until("\r\n\r\n", DEADLINE).await);
        assert_eq!(status(&raw.text()), expected);
    }
    let own = format!("{cookie}origin: http://localhost\r\n");
    let mut raw = Raw::dial(&client).await;
    raw.send(format!("{}early", handshake("/socket", "echo", &own)).as_bytes()).await;
    assert!(raw.read_until("\r\n\r\nearly", DEADLINE).await, "{}", raw.text());

    revoke(&gateway, r#"{"jti":"one"}"#).await;

    assert!(raw.is_closed_within(Duration::from_secs(2)).await, "the connection outlived its token");
}

#[tokio::test]
async fn an_upgrade_ends_when_nothing_passes_and_in_a_drain() {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), &everything("idle_timeout = \"300ms\""))).await;
    let mut raw = Raw::dial(&Client::http1(gateway.address())).await;
    raw.send(handshake("/socket", "echo", "").as_bytes()).await;
    assert!(raw.read_until("\r\n\r\n", DEADLINE).await);
    assert!(raw.is_closed_within(Duration::from_secs(5)).await);

    let drained = start(
        &config(&site.url(), &everything("")).replace("[admin]", "[server]\ndrain = { spread = \"0s\" }\n[admin]"),
    )
    .await;
    let mut raw = Raw::dial(&Client::http1(drained.address())).await;
    raw.send(handshake("/socket", "echo", "").as_bytes()).await;
    assert!(raw.read_until("\r\n\r\n", DEADLINE).await);

    drained.signal("TERM");

    assert!(raw.is_closed_within(Duration::from_secs(5)).await);
    assert!(drained.wait_exit(DEADLINE).await.success());
}
