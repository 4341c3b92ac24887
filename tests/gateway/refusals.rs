//! Clients whose requests are refused again and again on one connection.

use std::ops::Range;

use crate::support::attack_fixture::AttackFixture;
use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::frames::{Frame, Frames, GOAWAY, HEADERS, request};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, responses};
use crate::support::setup::Setup;

/// A path that no route has.
const NOWHERE: &str = "/no/such/path";

/// The most refused requests of a minute on HTTP/1.1.
const MAX_REFUSALS: usize = 1000;

/// Requests [`NOWHERE`] once on each of these HTTP/2 streams. Returns false if the connection ends.
async fn are_refused(frames: &mut Frames, numbers: Range<u32>) -> bool {
    for number in numbers {
        let stream = 2 * number + 1;
        let sent = frames.send(&request(stream, NOWHERE)).await;
        let head = frames.find(|frame| frame.kind == HEADERS && frame.stream == stream).await;
        if !sent || head.is_none() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn an_http2_client_whose_requests_are_refused_gets_goaway() {
    let mut fixture = AttackFixture::new("resets_per_connection = 10").await;
    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    frames.send(&request(1, "/prices")).await;

    assert!(are_refused(&mut frames, 1..12).await);

    let goaway = frames.find(|frame| frame.kind == GOAWAY).await.expect("a GOAWAY");
    assert_eq!(goaway.payload[4..8], [0; 4], "no error");
    wait_metric(&fixture.gateway, "rejections_total", &["reason=\"resets_per_connection\""], 1.0).await;
    assert!(frames.answers_ping().await);
    fixture.origin.emit(Emission::event("1", "tick", "still here"));
    let is_event = |frame: &Frame| frame.payload.ends_with(b"data: still here\n\n");
    assert!(frames.find(is_event).await.is_some_and(|frame| frame.stream == 1), "the open stream was ended");
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn an_http1_connection_closes_after_a_thousand_refusals_of_a_minute() {
    let mut fixture = AttackFixture::new("").await;
    let request = format!("GET {NOWHERE} HTTP/1.1\r\nhost: localhost\r\n\r\n");

    // Not one request more: bytes that nobody reads would make the kernel reset the connection.
    let answers = Raw::exchange(&fixture.http1(), request.repeat(MAX_REFUSALS + 1).as_bytes()).await;

    assert_eq!(responses(&answers), MAX_REFUSALS + 1);
    let (_, last) = answers.rsplit_once("HTTP/1.1 404").expect("a refusal");
    assert!(last.contains("connection: close"), "{last}");
    assert_eq!(answers.matches("connection: close").count(), 1, "only the last answer ends the connection");
    let reason = ["reason=\"refusals_per_connection\""];
    assert_eq!(metric(&fixture.gateway, "rejections_total", &reason).await, 1.0);
    fixture.assert_bystander_unharmed().await;
}

#[tokio::test]
async fn requests_through_a_trusted_proxy_may_be_refused_any_number_of_times() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).limits("resets_per_connection = 10");
    let gateway =
        setup.listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.0/8\"]").start().await;
    let mut frames = Frames::connect(&Client::http2(gateway.address()), &[]).await;

    assert!(are_refused(&mut frames, 0..100).await);

    assert_eq!(metric(&gateway, "rejections_total", &["reason=\"resets_per_connection\""]).await, 0.0);
}
