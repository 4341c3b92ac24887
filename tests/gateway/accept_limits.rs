//! Connections that are refused, closed or delayed before routing: each is counted, and the gateway keeps serving.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::attack_fixture::AttackFixture;
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::frames::{Frames, PING, frame};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, status};
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn a_malformed_or_oversized_head_is_counted_and_logged() {
    let mut fixture = AttackFixture::new("header_bytes = \"12KiB\"\nheaders = 20").await;
    let large = format!("x: {}\r\n", "a".repeat(20 * 1024));
    let many: String = (0..50).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = "a".repeat(70 * 1024);
    let heads = [
        ("GET\0 / HTTP/1.1\r\n\r\n".to_owned(), 400, "malformed"),
        (format!("GET /prices HTTP/1.1\r\nhost: localhost\r\n{large}\r\n"), 431, "headers"),
        (format!("GET /prices HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), 431, "headers"),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 431, "headers"),
    ];

    for (head, expected, reason) in heads {
        let labels = ["route=\"-\"", &format!("reason=\"{reason}\"")];
        let refused = metric(&fixture.gateway, "rejections_total", &labels).await;
        let counted =
            metric(&fixture.gateway, "requests_total", &["route=\"-\"", &format!("status=\"{expected}\"")]).await;

        let answer = Raw::exchange(&fixture.http1(), head.as_bytes()).await;

        assert_eq!(status(&answer), expected, "{answer}");
        wait_metric(&fixture.gateway, "rejections_total", &labels, refused + 1.0).await;
        let status = format!("status=\"{expected}\"");
        assert_eq!(metric(&fixture.gateway, "requests_total", &["route=\"-\"", &status]).await, counted + 1.0);
        let line =
            format!("answered client=127.0.0.1 route=\"-\" status={expected} protocol=\"h1\" reason=\"{reason}\"");
        fixture.gateway.wait_line(&line, DEADLINE).await;
    }
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn an_invalid_or_silent_http2_connection_is_counted() {
    let mut fixture =
        AttackFixture::new("header_timeout = \"300ms\"\nhandshake_timeout = \"200ms\"\nidle_timeout = \"10m\"").await;
    let http2 = Client::http2(fixture.gateway.address());

    let mut frames = Frames::connect(&http2, &[]).await;
    frames.send(&frame(PING, 0, 0, b"short")).await;
    frames.end(DEADLINE).await;
    let mut silent = Raw::dial(&fixture.http1()).await;
    let mut slow = Raw::dial(&fixture.http1()).await;
    slow.send(b"GET /prices HTTP/1.1\r\n").await;
    let mut unused = Raw::dial(&http2).await;
    unused.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    for raw in [&mut silent, &mut slow, &mut unused] {
        raw.read_to_end(DEADLINE).await;
    }
    // A connection that closes without sending anything, as a health probe does, is not a rejection.
    drop(Raw::dial(&fixture.http1()).await);

    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"malformed\""], 1.0).await;
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"header_timeout\""], 2.0).await;
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"handshake_timeout\""], 1.0).await;
    fixture.assert_bystander_unharmed().await;
    assert_eq!(metric(&fixture.gateway, "rejections_total", &[]).await, 4.0);
}

#[tokio::test]
async fn events_flow_while_a_connection_storm_is_rate_limited() {
    let authority = Authority::new();
    for limit in ["accepts_per_second", "handshakes_per_second"] {
        let origin = Origin::start().await;
        let limits = format!("{limit} = 40");
        let gateway = Setup::for_origin(&origin.url()).limits(&limits).tls(&authority.server()).start().await;
        let client = Client::http1(gateway.address()).tls(&authority);
        let mut reader = client.subscribe("/prices", &[]).await;
        let began = Instant::now();

        let many = client.clone();
        let storm =
            tokio::spawn(async move { join_all((0..60).map(|_| many.try_request("HEAD", "/prices", &[]))).await });
        for number in 0..10 {
            origin.emit(Emission::event(&number.to_string(), "", "meanwhile"));
            assert_eq!(reader.next_event(DEADLINE).await.data, "meanwhile");
        }
        let during = began.elapsed();
        let answers = storm.await.unwrap();

        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)), "{limit}");
        assert!(began.elapsed() > Duration::from_secs(1), "{limit}: {:?}", began.elapsed());
        assert!(during < began.elapsed(), "{limit}: events waited for the storm");
        let waited = metric(&gateway, "rate_waits_total", &[&format!("limit=\"{limit}\"")]).await;
        assert!((30.0..=60.0).contains(&waited), "{limit}: {waited}");
        assert_eq!(metric(&gateway, "rate_waits_total", &[]).await, waited);
        eventually(DEADLINE, || async { client.try_request("HEAD", "/prices", &[]).await.is_ok() }).await;
    }
}
