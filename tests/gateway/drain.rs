//! Draining: readiness fails, new clients are refused, and open responses end between events and spread over time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::{admin, metric};
use crate::support::frames::{DATA, END_STREAM, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, request};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, status};
use crate::support::setup::{Setup, both_protocols};
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

fn drain(notice: &str, spread: &str, deadline: &str) -> String {
    format!("drain = {{ notice = \"{notice}\", spread = \"{spread}\", deadline = \"{deadline}\" }}")
}

#[tokio::test]
async fn a_drain_ends_responses_with_a_retry_and_the_process_exits_with_zero() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway =
        Setup::for_origin(&origin.url()).server(&drain("0s", "2s", "20s")).tls(&authority.server()).start().await;
    let clients = both_protocols(&gateway, Some(&authority));
    let mut subscriptions: Vec<Subscription> =
        join_all((0..40).map(|number| clients[number % 2].subscribe("/prices", &[]))).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "", "before"));
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "before");
    }
    let emitting = tokio::spawn(async move {
        for number in 2.. {
            origin.emit(Emission::event(&number.to_string(), "", &"whole".repeat(100)));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });

    gateway.signal("TERM");
    let ended = join_all(subscriptions.iter_mut().map(|subscription| async {
        let events = subscription.expect_end(DEADLINE).await;
        (Instant::now(), events)
    }))
    .await;

    emitting.abort();
    for (_, events) in &ended {
        assert!(events.iter().all(|event| event.data == "whole".repeat(100)));
    }
    let moments = ended.iter().map(|(moment, _)| *moment);
    let spread = moments.clone().max().unwrap() - moments.min().unwrap();
    assert!(spread > Duration::from_millis(500), "all ended within {spread:?}");
    for subscription in &subscriptions {
        assert_eq!(subscription.retries().len(), 2, "one at the start and one at the end");
    }
    let farewells: std::collections::BTreeSet<_> =
        subscriptions.iter().filter_map(|subscription| subscription.retries().last()).collect();
    assert!(farewells.len() > 5, "clients would return together: {farewells:?}");
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn readiness_fails_first_and_requests_are_served_during_the_notice() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server(&drain("2s", "0s", "20s")).start().await;
    let client = Client::http1(gateway.address());
    assert_eq!(admin(&gateway, "/readyz").await.0, 200);

    gateway.signal("TERM");
    eventually(DEADLINE, || async { admin(&gateway, "/readyz").await.0 == 503 }).await;

    assert_eq!(admin(&gateway, "/livez").await.0, 200);
    let mut late = client.subscribe("/prices", &[]).await;
    assert_eq!(late.status, 200, "a load balancer that has not noticed yet still sends clients");
    late.expect_end(DEADLINE).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn http2_clients_get_goaway_and_their_streams_end() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server(&drain("0s", "100ms", "20s")).start().await;
    let mut frames = Frames::connect(&Client::http2(gateway.address()), &[]).await;
    frames.send(&request(1, "/prices")).await;
    frames.find(|frame| frame.kind == HEADERS && frame.stream == 1).await.expect("an answer");

    gateway.signal("TERM");

    let goaway = frames.find(|frame| frame.kind == GOAWAY).await.expect("a GOAWAY");
    assert_eq!(goaway.payload[4..8], [0; 4], "no error");
    let ends = |frame: &crate::support::frames::Frame| {
        frame.kind == DATA && frame.stream == 1 && frame.flags & END_STREAM != 0
    };
    assert!(frames.find(ends).await.is_some(), "the response was not ended");
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn clients_that_do_not_read_are_cut_off_and_the_process_exits_with_zero() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server(&drain("0s", "100ms", "5s")).start().await;
    let mut http1 = Raw::dial(&Client::http1(gateway.address()).receive_buffer(4096)).await;
    http1.send(b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut http2 = Frames::connect(&Client::http2(gateway.address()), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    http2.send(&request(1, "/prices")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 3.0 }).await;
    for number in 0..100 {
        origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(8192)));
    }
    reader.next_events(100).await;
    let began = Instant::now();

    gateway.signal("TERM");

    assert!(gateway.wait_exit(DEADLINE).await.success());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert_eq!(reader.expect_end(DEADLINE).await.len(), 0);
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server(&drain("0s", "10m", "20m")).start().await;
    let mut subscription = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    gateway.signal("TERM");
    gateway.wait_line("draining", DEADLINE).await;
    assert_eq!(gateway.exit_status(), None);
    gateway.signal("TERM");

    // Stopping at once was requested, so it is a success.
    assert!(gateway.wait_exit(DEADLINE).await.success());
    gateway.wait_line("stopped at once", DEADLINE).await;
    subscription.ending(DEADLINE).await;
}

#[tokio::test]
async fn a_response_ends_cleanly_at_max_age_with_a_retry() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery("max_age = \"500ms\"").start().await;

    for client in both_protocols(&gateway, None) {
        let mut subscription = client.subscribe("/prices", &[]).await;
        assert!(subscription.expect_end(DEADLINE).await.is_empty());
        assert_eq!(subscription.retries().len(), 2);
    }

    assert_eq!(metric(&gateway, "subscriptions_ended_total", &["reason=\"max_age\""]).await, 2.0);
}

#[tokio::test]
async fn a_request_during_the_drain_gets_503() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).server(&drain("0s", "4s", "20s")).start().await;
    let client = Client::http1(gateway.address());
    let _held = join_all((0..20).map(|_| client.subscribe("/prices", &[]))).await;
    // A connection without a request may be closed at once. Half a request head keeps it open.
    let mut late = Raw::dial(&client).await;
    late.send(b"GET /prices HTTP/1.1\r\nhost: loc").await;
    metric(&gateway, "connections", &[]).await;
    let mut second = Client::http2(gateway.address()).connect().await.unwrap();
    let _open = second.subscribe("/prices", &[]).await;

    gateway.signal("TERM");
    gateway.wait_line("draining", DEADLINE).await;
    eventually(DEADLINE, || async { Client::http1(gateway.address()).dial().await.is_err() }).await;
    late.send(b"alhost\r\n\r\n").await;

    let text = late.read_to_end(DEADLINE).await;
    assert_eq!(status(&text), 503, "{text}");
    assert!(text.to_lowercase().contains("retry-after: "), "{text}");
    if let Ok(response) = second.try_request("GET", "/prices", &[]).await {
        assert_eq!(response.status, 503);
    }
    assert!(gateway.wait_exit(DEADLINE).await.success());
}
