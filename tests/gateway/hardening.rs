//! Hostile HTTP/1.1 clients. After each attack a bystander still gets its events.
//!
//! An ambiguous request is dangerous because it can hide a second request that only one of two parsers sees. So every
//! test sends one that hides a request for a stream called `victim`, which no upstream may ever receive.

use std::time::Duration;

use crate::support::ambiguous::{AMBIGUOUS_LENGTHS, BAD_CHUNKS, MALFORMED_HEADS};
use crate::support::attack_fixture::{AttackFixture, VICTIM};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, resident, wait_metric, watch_for};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, responses, status};
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::DEADLINE;

const SHORT_TIMEOUTS: &str = "header_timeout = \"1s\"\nidle_timeout = \"1s\"\nhandshake_timeout = \"1s\"";

#[tokio::test]
async fn a_request_with_two_lengths_is_answered_once_and_the_connection_closed() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    // Here these two hide a request as well: nothing that has a body is followed by another request.
    let legal = ["transfer-encoding:\tchunked", "transfer_encoding: chunked\r\ncontent-length: 5"];

    for field in AMBIGUOUS_LENGTHS.iter().copied().chain(legal) {
        for method in ["GET", "POST"] {
            let request = format!("{method} /nothing/here HTTP/1.1\r\nhost: localhost\r\n{field}\r\n\r\n0\r\n\r\n");
            let text = fixture.converse(&request).await;
            let status = status(&text);
            assert!(text.is_empty() || (400..500).contains(&status), "{request:?}: {text:?}");
        }
    }

    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn an_invalid_chunk_ends_the_request() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    // A route that forwards ignores what follows a size on its line, and does not send it on: it changes no length.
    let ignored = ["5;\u{0}\r\nhello\r\n0\r\n\r\n", "0 \r\n\r\n"];

    for chunk in BAD_CHUNKS.iter().copied().chain(ignored) {
        let request = format!("POST /nothing HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        let text = fixture.converse(&request).await;
        assert!((400..500).contains(&status(&text)), "{chunk:?}: {text:?}");
    }

    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_malformed_head_is_refused_and_the_connection_closed() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;

    for head in MALFORMED_HEADS {
        let mut raw = Raw::dial(&fixture.http1()).await;
        raw.send(head.as_bytes()).await;
        assert!(raw.is_closed_within(DEADLINE).await, "{head:?}: still open after {:?}", raw.text());
        let text = raw.text();
        assert!(text.is_empty() || [400, 405, 505].contains(&status(&text)), "{head:?}: {text:?}");
    }
    assert!(fixture.origin.requests().iter().all(|request| request.target == "/bystander"));

    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn other_methods_and_upgrades_are_refused_or_ignored() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    for method in ["TRACE", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "GETT", "get"] {
        let request =
            format!("{method} /prices HTTP/1.1\r\nhost: localhost\r\nx-secret: echo\r\nconnection: close\r\n\r\n");
        let text = Raw::exchange(&fixture.http1(), request.as_bytes()).await;
        assert_eq!(status(&text), 405, "{text}");
        assert!(text.to_lowercase().contains("allow: get") && !text.contains("echo"), "{text}");
    }
    assert_eq!(fixture.origin.requests().len(), 1);

    for upgrade in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13",
    ] {
        let request = format!("GET /prices?follow=false HTTP/1.1\r\nhost: localhost\r\n{upgrade}\r\n\r\n");
        let text = Raw::exchange(&fixture.http1(), request.as_bytes()).await;
        assert_eq!(status(&text), 200, "{text}");
    }

    // A server must take the absolute form (RFC 9112, 3.2.2); its authority is the host.
    let absolute = "GET http://localhost/prices?follow=false HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(status(&Raw::exchange(&fixture.http1(), absolute.as_bytes()).await), 200);
    assert!(fixture.origin.requests().iter().all(|request| !request.target.contains("localhost")));
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn bytes_behind_a_stream_request_are_never_executed() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    let requests = [
        "GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /prices HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n".to_owned(),
        format!("GET /prices HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", VICTIM.len()),
        "GET /prices HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("HEAD /prices HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", VICTIM.len()),
        format!("OPTIONS /prices HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", VICTIM.len()),
    ];

    for request in requests {
        let mut raw = Raw::dial(&fixture.http1()).await;
        raw.send(format!("{request}{VICTIM}").as_bytes()).await;
        assert!(raw.read_until("\r\n\r\n", DEADLINE).await, "{request:?}: {:?}", raw.text());
        raw.send(VICTIM.as_bytes()).await;
        fixture.assert_bystander_unharmed().await;
        if request.starts_with("GET") {
            let event = format!("data: {}\n", fixture.last_event());
            assert!(raw.read_until(&event, DEADLINE).await, "{request:?}: {:?}", raw.text());
        } else {
            raw.read_to_end(DEADLINE).await;
        }
        assert_eq!(responses(&raw.text()), 1, "{:?}", raw.text());
    }

    let targets: Vec<_> = fixture.origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/bystander", "/prices"]);
}

#[tokio::test]
async fn a_client_that_floods_behind_its_request_is_cut_off() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    let before = resident(&fixture.gateway);
    let mut raw = Raw::dial(&fixture.http1()).await;
    raw.send(b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(raw.read_until("\r\n\r\n", DEADLINE).await);

    let mut sent = 0;
    while raw.try_send(&[b'x'; 16 * 1024]).await.is_ok() {
        sent += 16;
        assert!(sent < 64 * 1024, "the gateway accepted {sent} bytes");
    }

    assert_grown_by_less_than(&fixture.gateway, before, 16);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn a_slow_head_and_a_silent_connection_are_closed_in_time() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let limits = "header_timeout = \"500ms\"\nidle_timeout = \"10m\"";
    let plain = Setup::for_origin(&origin.url()).limits(limits).start().await;
    let encrypted = Setup::for_origin(&origin.url()).limits(limits).tls(&authority.server()).start().await;

    for client in [Client::http1(plain.address()), Client::http1(encrypted.address()).tls(&authority)] {
        for start in ["", "GET /pri", "GET /prices HTTP/1.1\r\nhost: localhost\r\n"] {
            let mut raw = Raw::dial(&client).await;
            raw.send(start.as_bytes()).await;
            let began = std::time::Instant::now();
            // Single bytes must not extend the timeout.
            while !raw.is_closed_within(Duration::from_millis(50)).await {
                if !start.is_empty() {
                    raw.send(b"x").await;
                }
                assert!(began.elapsed() < DEADLINE, "{start:?} is still open");
            }
            assert!([0, 408].contains(&status(&raw.text())), "{:?}", raw.text());
        }
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_while_a_quiet_stream_lives_on() {
    let origin = Origin::start().await;
    let limits = "header_timeout = \"400ms\"\nidle_timeout = \"400ms\"\nhandshake_timeout = \"400ms\"";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).delivery("heartbeat = \"10m\"").start().await;
    let mut quiet = Vec::new();
    for client in both_protocols(&gateway, None) {
        quiet.push(client.subscribe("/prices", &[]).await);
    }
    origin.wait_open(1).await;

    let mut idle = Raw::dial(&Client::http1(gateway.address())).await;
    idle.send(b"GET /nothing/here HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(status(&idle.read_to_end(DEADLINE).await), 404);
    let mut unused = Client::http2(gateway.address()).connect().await.unwrap();
    assert!(!unused.subscribe("/nothing/here", &[]).await.text().await.is_empty());
    watch_for(Duration::from_secs(2)).await;

    assert!(unused.try_request("GET", "/nothing/here", &[]).await.is_err(), "an idle HTTP/2 connection is still open");
    origin.emit(Emission::event("1", "", "still here"));
    for subscription in &mut quiet {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "still here");
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused_with_its_bound() {
    let mut fixture = AttackFixture::new("headers = 20\nheader_bytes = \"12KiB\"\ntoken_bytes = \"1KiB\"").await;
    let many: Vec<_> = (0..30).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let large = "a".repeat(11 * 1024);
    let large =
        [("x-large", large.as_str()), ("x-too", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), ("x-more", large.as_str())];
    let long = format!("/prices?x={}", "a".repeat(9 * 1024 + 100));
    let deep = format!("/prices/{}", "a".repeat(8 * 1024));
    let huge = format!("/prices?x={}", "a".repeat(60 * 1024));
    let path = "The path is longer than 8 KiB.";
    let whole = "Path and query are longer than 9 KiB together (8 KiB and limits.token_bytes).";
    let fields = "The request has more than 20 header fields (limits.headers).";

    for client in both_protocols(&fixture.gateway, None) {
        for (target, head, status, detail) in
            [("/prices", &many[..], 431, fields), (&deep, &[], 414, path), (&long, &[], 414, whole)]
        {
            let mut refused = client.subscribe(target, head).await;
            assert_eq!(refused.status, status);
            let problem = refused.text().await;
            assert!(problem.contains(detail), "{problem}");
        }
        // The head is not read to its end, so the response is only a status.
        let mut refused = client.subscribe("/prices", &large).await;
        assert_eq!((refused.status.as_u16(), refused.text().await.as_str()), (431, ""));
        if let Ok(response) = client.try_request("GET", &huge, &[]).await {
            assert!([414, 431].contains(&response.status.as_u16()), "{}", response.status);
        }
    }

    assert_eq!(fixture.origin.requests().len(), 1);
    fixture.assert_bystander_unharmed().await;
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"uri_too_long\""], 4.0).await;
}

#[tokio::test]
async fn an_ambiguous_path_is_refused() {
    let mut fixture = AttackFixture::new(SHORT_TIMEOUTS).await;
    let refused = [
        "/a/../prices",
        "/../prices",
        "/./prices",
        "/prices/.",
        "/prices/..",
        "//prices",
        "/prices//",
        "///",
        "/\\prices",
        "/..\\prices",
        "/prices\\",
        "/%2e/prices",
        "/%2e%2e/prices",
        "/%2E%2e/prices",
        "/.%2e/prices",
        "/prices%2f",
        "/%2fprices",
        "/a%2f..%2fprices",
        "/prices%5c",
        "/prices%00",
        "/prices%0a",
        "/prices%0d%0ax:y",
        "/prices%20",
        "/prices%",
        "/prices%2",
        "/prices%zz",
        "/%c0%ae%c0%ae/prices",
        "/prices%ff",
        "/%252e%252e/prices",
        "/prices%3fx",
        "/prices%23",
        "/prices;v=1",
        "/prices%3bv=1",
        "/prices*",
        "/%2A",
        "/pri{ces}",
        "/pri|ces",
        "/pri\"ces",
        "/pri<ces>",
    ];

    for path in refused {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let text = Raw::exchange(&fixture.http1(), request.as_bytes()).await;
        assert_eq!(status(&text), 400, "{path}: {text}");
    }
    // A trailing slash makes another path, which matches no route.
    for path in ["/prices/", "/", "/a/b"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&Raw::exchange(&fixture.http1(), request.as_bytes()).await), 404, "{path}");
    }
    assert_eq!(fixture.origin.requests().len(), 1, "{:?}", fixture.origin.requests());

    // Encoded unreserved characters name the same stream (RFC 3986, 6.2.2.2).
    for path in ["/prices", "/%70rices", "/p%72ic%65s", "/prices?cache=buster"] {
        let _open = fixture.http1().subscribe(path, &[]).await;
    }
    assert_eq!(fixture.origin.requests().last().map(|request| request.target.clone()).as_deref(), Some("/prices"));
    assert_eq!(fixture.origin.requests().len(), 2);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn every_bad_request_closes_its_connection() {
    let fixture = AttackFixture::new("").await;

    for bad in ["GET /a?limit=none HTTP/1.1\r\nhost: a\r\n\r\n", "GET /a HTTP/1.1\r\nhost : a\r\n\r\n"] {
        let answer = fixture.converse(bad).await;

        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
}
