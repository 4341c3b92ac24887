//! Each limit of `[limits]`: the client over it is refused, and admitted once another has left.

use std::net::IpAddr;

use crate::support::client::Client;
use crate::support::figures::{admin, metric};
use crate::support::frames::{ACK, Frames, MAX_CONCURRENT_STREAMS, SETTINGS};
use crate::support::origin::Origin;
use crate::support::raw::Raw;
use crate::support::script::Answer;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_until_one_leaves() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("connections = 2").start().await;
    let client = Client::http1(gateway.address());
    let first = client.subscribe("/prices", &[]).await;
    let second = client.subscribe("/prices", &[]).await;

    let refused = Raw::exchange(&client, b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n").await;

    assert_eq!(refused, "", "the refused connection got a response");
    assert_eq!(metric(&gateway, "rejections_total", &["route=\"-\"", "reason=\"connections\""]).await, 1.0);
    drop(first);
    eventually(DEADLINE, || async { client.try_request("GET", "/prices", &[]).await.is_ok() }).await;
    drop(second);
}

#[tokio::test]
async fn an_address_over_its_connections_gets_429_and_others_are_served() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("connections_per_ip = 2").start().await;
    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();

    for client in both_protocols(&gateway, None) {
        let first = client.subscribe("/prices", &[]).await;
        let _second = client.subscribe("/prices", &[]).await;
        assert_eq!((first.status.as_u16(), _second.status.as_u16()), (200, 200));

        let mut refused = client.subscribe("/prices", &[]).await;

        assert_eq!(refused.status, 429);
        assert!(!refused.header("retry-after").is_empty());
        assert!(refused.text().await.contains("connections_per_ip"));
        assert_eq!(client.clone().coming_from(elsewhere).subscribe("/prices", &[]).await.status, 200);
        drop((first, refused));
        eventually(DEADLINE, || async { client.subscribe("/prices", &[]).await.status == 200 }).await;
        drop(_second);
        eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
    }
    assert!(metric(&gateway, "rejections_total", &["reason=\"connections_per_ip\""]).await >= 2.0);
    assert!(metric(&gateway, "shares_refused_total", &["room=\"connections\""]).await >= 2.0);
}

#[tokio::test]
async fn a_subscriber_over_the_limit_gets_503_with_retry_after() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("subscribers = 2").start().await;

    for client in both_protocols(&gateway, None) {
        let first = client.subscribe("/prices", &[]).await;
        let second = client.subscribe("/other", &[]).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));

        let refused = client.subscribe("/prices", &[]).await;

        assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (503, false));
        assert_eq!(client.try_request("HEAD", "/prices", &[]).await.unwrap().status, 200, "a HEAD request was counted");
        drop(first);
        eventually(DEADLINE, || async { client.subscribe("/prices", &[]).await.status == 200 }).await;
        drop(second);
        eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
    }
    assert!(metric(&gateway, "rejections_total", &["reason=\"subscribers\""]).await >= 2.0);
}

#[tokio::test]
async fn a_stream_over_the_limit_is_refused_while_open_ones_admit_readers() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("streams = 2").delivery("linger = \"100ms\"").start().await;
    let client = Client::http2(gateway.address());
    let first = client.subscribe("/one", &[]).await;
    let _second = client.subscribe("/two", &[]).await;

    let refused = client.subscribe("/three", &[]).await;

    assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (503, false));
    assert_eq!(client.subscribe("/two", &[]).await.status, 200);
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(metric(&gateway, "rejections_total", &["route=\"all\"", "reason=\"streams\""]).await, 1.0);
    drop(first);
    eventually(DEADLINE, || async { client.subscribe("/three", &[]).await.status == 200 }).await;
}

#[tokio::test]
async fn concurrent_streams_are_limited_as_advertised() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("h2_streams = 2").start().await;
    let client = Client::http2(gateway.address());

    let mut frames = Frames::connect(&client, &[]).await;
    let advertised = frames.find(|frame| frame.kind == SETTINGS && frame.flags != ACK).await.expect("SETTINGS");

    let is_two = |value: &[u8]| value == [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &[0, 0, 0, 2]].concat();
    assert!(advertised.payload.chunks(6).any(is_two), "{:?}", advertised.payload);
    // A client that respects the limit waits for a stream to end.
    let mut connection = client.connect().await.unwrap();
    let first = connection.subscribe("/prices", &[]).await;
    let _second = connection.subscribe("/prices", &[]).await;
    let mut third = Box::pin(connection.subscribe("/prices", &[]));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), &mut third).await.is_err());
    drop(first);
    assert_eq!(third.await.status, 200);
}

#[tokio::test]
async fn a_soft_refusal_is_a_short_stream_with_a_retry() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("subscribers = 1").route("soft_refusal = true").start().await;

    for client in both_protocols(&gateway, None) {
        let first = client.subscribe("/prices", &[]).await;

        let mut refused = client.subscribe("/prices", &[]).await;

        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (200, "text/event-stream"));
        assert!(refused.expect_end(DEADLINE).await.is_empty());
        assert_eq!(refused.retries().len(), 1);
        assert!(refused.retries()[0] >= std::time::Duration::from_secs(2));
        assert!(refused.comments()[0].contains("subscribers"), "{:?}", refused.comments());
        // A client that did not ask for an event stream gets the ordinary refusal.
        let other = client.try_request("GET", "/prices", &[("accept", "*/*")]).await.unwrap();
        assert_eq!(other.status, 503);
        drop(first);
        eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
    }
}

#[tokio::test]
async fn a_soft_refusal_jitters_above_the_upstreams_retry_after() {
    let origin = Origin::start_with(|_| Answer::status(429).header("retry-after", "7")).await;
    let gateway = Setup::for_origin(&origin.url()).route("soft_refusal = true").start().await;
    let client = Client::http1(gateway.address());

    let mut times = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let mut refused = client.subscribe("/prices", &[]).await;
        assert!(refused.expect_end(DEADLINE).await.is_empty());
        times.insert(refused.retries()[0]);
    }

    let seconds = std::time::Duration::from_secs;
    assert!(times.iter().all(|time| (seconds(7)..=seconds(14)).contains(time)), "{times:?}");
    assert!(times.len() > 1, "{times:?}");
}

#[tokio::test]
async fn the_most_specific_accept_range_decides() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let client = Client::http1(gateway.address());

    for (accept, status) in [
        ("*/*, text/event-stream;q=0", 406),
        ("text/event-stream;q=0.0, text/*", 406),
        ("text/*;q=0, */*", 406),
        ("text/*;q=0, text/event-stream", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/json", 406),
        ("", 200),
        (" , ", 200),
        ("*", 200),
        ("text/html, *; q=.2", 200),
    ] {
        assert_eq!(
            client.try_request("HEAD", "/prices", &[("accept", accept)]).await.unwrap().status,
            status,
            "{accept}"
        );
    }
}

#[tokio::test]
async fn readyz_notes_why_new_subscriptions_are_refused() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("subscribers = 1\nstreams = 1").start().await;
    let noted = |word: &'static str| {
        let gateway = &gateway;
        move || async move {
            let (status, text) = admin(gateway, "/readyz").await;
            status == 200 && text.contains(word)
        }
    };

    let only = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    eventually(DEADLINE, noted("limits.subscribers = 1 is reached: new subscriptions are refused")).await;
    eventually(DEADLINE, noted("limits.streams = 1 is reached")).await;
    drop(only);
    eventually(DEADLINE, || async { !admin(&gateway, "/readyz").await.1.contains("limits.subscribers") }).await;
}
