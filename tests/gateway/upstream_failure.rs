//! An upstream that answers wrongly, not at all, or without end.
//!
//! The documentation lists the effect of each failure on clients. In every case the gateway survives with bounded
//! memory and retries with backoff.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::client::Client;
use crate::support::figures::{assert_grown_by_less_than, lines_with, metric, resident, wait_lines, watch_for};
use crate::support::flood::{BlackHole, ClosedPort, Flood};
use crate::support::hostile::BAD_RESPONSE_HEADS;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut, Request};
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

const SECRET: &str = "the body of a wrong answer";

/// Short timeouts and delays.
const QUICK: &str =
    "open_timeout = \"400ms\"\nconnect_timeout = \"300ms\"\nbackoff = { initial = \"50ms\", max = \"200ms\" }";
const BEATING: &str = "heartbeat = \"50ms\"";
const REFUSING: &str = "when_down = \"refuse\"";

fn answer_named(request: &Request) -> Answer {
    let name = request.target.trim_start_matches('/');
    match name {
        "good" | "landed" => Answer::stream().then("id: 1\ndata: good\n\n"),
        "html" => Answer::stream().header("content-type", "text/html").then(SECRET),
        "untyped" => Answer::raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{SECRET}")),
        "gzip" => Answer::stream().header("content-encoding", "gzip").then(SECRET),
        "away" => Answer::status(302).header("location", "http://192.0.2.1/good").then(SECRET),
        "downgrade" => Answer::status(307).header("location", "https://localhost/good"),
        "nowhere" => Answer::status(301),
        "here" => Answer::status(307).header("location", "/landed"),
        "loop" => Answer::status(302).header("location", "/loop"),
        "busy" => Answer::status(429).header("retry-after", "7").then(SECRET),
        "busy-somehow" => Answer::status(429).header("retry-after", "later"),
        _ => Answer::status(name.parse().expect("a path that is a status")).then(SECRET),
    }
}

async fn assert_serves(gateway: &Rillgate) {
    for client in both_protocols(gateway, None) {
        assert_eq!(client.subscribe("/good?follow=false", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn every_wrong_upstream_response_has_its_status_and_leaks_nothing() {
    let origin = Origin::start_with(answer_named).await;
    let gateway = Setup::for_origin(&origin.url()).delivery(REFUSING).start().await;
    let expected = [
        ("/400", 502),
        ("/401", 502),
        ("/403", 502),
        ("/409", 502),
        ("/418", 502),
        ("/404", 404),
        ("/410", 404),
        ("/busy", 503),
        ("/busy-somehow", 503),
        ("/500", 502),
        ("/503", 502),
        ("/599", 502),
        ("/206", 502),
        ("/300", 502),
        ("/304", 502),
        ("/html", 502),
        ("/untyped", 502),
        ("/gzip", 502),
        ("/away", 502),
        ("/downgrade", 502),
        ("/nowhere", 502),
        ("/loop", 502),
        ("/204", 204),
        ("/here", 200),
        ("/good", 200),
    ];

    for client in both_protocols(&gateway, None) {
        for (path, status) in expected {
            let mut response = client.subscribe(&format!("{path}?limit=1"), &[]).await;
            assert_eq!(response.status, status, "{path}");
            if status == 200 {
                // The log may be empty for the second client, so it must not wait for an event.
                continue;
            }
            let retry_after = response.header("retry-after").to_owned();
            assert_eq!(!retry_after.is_empty(), status == 503, "{path}: Retry-After {retry_after:?}");
            if path == "/busy" {
                assert_eq!(retry_after, "7");
            }
            let kind = response.header("content-type").to_owned();
            assert_eq!(kind == "application/problem+json", status != 204, "{path}: {kind}");
            let text = response.text().await;
            assert!(!text.contains(SECRET), "{path} leaks: {text}");
        }
    }
    assert_serves(&gateway).await;
}

#[tokio::test]
async fn a_hostile_response_head_is_a_bad_gateway() {
    let origin = Origin::start_with(|request| match request.target.trim_start_matches('/').parse::<usize>() {
        Ok(number) => Answer::raw(BAD_RESPONSE_HEADS[number]),
        Err(_) => answer_named(request),
    })
    .await;
    let gateway = Setup::for_origin(&origin.url()).upstream("open_timeout = \"2s\"").delivery(REFUSING).start().await;
    let client = Client::http1(gateway.address());

    for (number, head) in BAD_RESPONSE_HEADS.iter().enumerate() {
        let response = client.subscribe(&format!("/{number}"), &[]).await;
        assert!([502, 504].contains(&response.status.as_u16()), "{} for {head:?}", response.status);
    }

    assert_serves(&gateway).await;
}

#[tokio::test]
async fn an_upstream_down_is_refused_at_once_with_when_down_refuse() {
    let silent = Origin::start_with(|_| Answer::silence()).await;
    let (closed, hole) = (ClosedPort::new(), BlackHole::new());
    let failing = Origin::start_with(|_| Answer::status(500)).await;
    let slamming = Origin::start_with(|_| Answer::raw("")).await;

    for (url, statuses) in [
        (slamming.url(), [502, 502]),
        (silent.url(), [504, 504]),
        (closed.url(), [503, 503]),
        (hole.url(), [503, 504]),
        (failing.url(), [502, 502]),
    ] {
        let gateway = Setup::for_origin(&url).upstream(QUICK).delivery(REFUSING).start().await;
        // The second client of each stream finds it already retrying.
        for client in [both_protocols(&gateway, None), both_protocols(&gateway, None)].concat() {
            let response = client.subscribe("/prices", &[]).await;
            assert!(statuses.contains(&response.status.as_u16()), "{} for {url}", response.status);
            assert_eq!(response.header("retry-after").is_empty(), response.status != 503, "{url}");
        }
    }
}

#[tokio::test]
async fn upstream_failures_are_described_in_plain_words() {
    let silent = Origin::start_with(|_| Answer::silence()).await;
    let slamming = Origin::start_with(|_| Answer::raw("")).await;
    let (closed, hole) = (ClosedPort::new(), BlackHole::new());

    for (url, said) in [
        (closed.url(), "cannot connect to ADDRESS: connection refused"),
        (hole.url(), "cannot connect to ADDRESS: timed out after 300 ms"),
        (silent.url(), "the upstream did not answer within 400 ms (open_timeout)"),
        (slamming.url(), "ADDRESS closed the connection without a response"),
        ("http://producer.invalid".to_owned(), "cannot resolve producer.invalid: "),
    ] {
        let gateway = Setup::for_origin(&url).upstream(QUICK).delivery(REFUSING).start().await;

        Client::http1(gateway.address()).subscribe("/prices", &[]).await;

        let said = said.replace("ADDRESS", url.trim_start_matches("http://"));
        gateway.wait_line(&said, DEADLINE).await;
    }
}

#[tokio::test]
async fn clients_are_held_with_heartbeats_until_the_upstream_is_up() {
    let silent = Origin::start_with(|_| Answer::silence()).await;
    let failing = Origin::start_with(|_| Answer::status(503)).await;
    let closed = ClosedPort::new();
    let behind = Origin::start().await;
    let mut opening = Some(closed);
    // A proxy in front of an upstream that is down often accepts the connection and closes it.
    let slamming = Origin::start_with(|_| Answer::raw("")).await;
    let resetting = Origin::start_with(|_| Answer::raw("").then_cut(Cut::Reset)).await;
    let urls =
        [silent.url(), failing.url(), opening.as_ref().expect("still closed").url(), slamming.url(), resetting.url()];

    for (url, returning) in urls.iter().zip([&silent, &failing, &behind, &slamming, &resetting]) {
        let gateway = Setup::for_origin(url).upstream(QUICK).delivery(BEATING).start().await;
        let mut waiting = Vec::new();
        for client in both_protocols(&gateway, None) {
            let mut subscription = client.subscribe("/prices", &[]).await;
            assert_eq!(subscription.status, 200, "{url}");
            // The first read is the prelude, and the others are heartbeats.
            for _ in 0..4 {
                subscription.read_more(DEADLINE).await;
            }
            waiting.push(subscription);
        }

        returning.welcome();
        if *url == urls[2] {
            opening.take().expect("opened once").open(behind.address());
        }
        // Earlier connections to a silent upstream may still be open. Only the newest one delivers events.
        let welcomed = returning.requests().len() + 1;
        returning.wait_requests(welcomed).await;
        returning.wait_open(1).await;
        returning.emit(Emission::event("1", "", "back"));

        for subscription in &mut waiting {
            assert_eq!(subscription.next_event(DEADLINE).await.data, "back", "{url}");
        }
    }
}

#[tokio::test]
async fn clients_stay_connected_with_heartbeats_while_their_stream_reconnects() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).upstream(QUICK).delivery(BEATING).start().await;
    let mut subscriptions = Vec::new();
    for client in both_protocols(&gateway, None) {
        subscriptions.push(client.subscribe("/prices", &[]).await);
    }
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "", "before"));
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "before");
    }

    origin.refuse(503);
    origin.cut(Cut::Reset);
    let seen = origin.requests().len();
    origin.wait_requests(seen + 5).await;
    let heartbeats = subscriptions.iter().map(|subscription| subscription.comments().len()).collect::<Vec<_>>();
    for (subscription, before) in subscriptions.iter_mut().zip(heartbeats) {
        while subscription.comments().len() < before + 3 {
            subscription.read_more(DEADLINE).await;
        }
    }
    origin.honour_last_event_id();
    origin.welcome();
    origin.wait_open(1).await;
    origin.emit(Emission::event("2", "", "after"));

    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "after");
    }
    gateway.wait_line("upstream is back", DEADLINE).await;
    wait_lines(&gateway, &["upstream is back"], 1).await;
    wait_lines(&gateway, &["upstream lost"], 2).await;
}

#[tokio::test]
async fn an_upstream_failure_is_logged_once_and_retried_without_a_hot_loop() {
    let failing = Origin::start_with(|_| Answer::status(503)).await;
    let ending = Origin::start_with(|_| Answer::stream().then_cut(Cut::End)).await;
    let chatty = Origin::start_with(|_| Answer::stream().then("data: x\n\n").then_cut(Cut::End)).await;
    let slamming = Origin::start_with(|_| Answer::stream().then_cut(Cut::Reset)).await;
    let time = Duration::from_secs(3);
    let mut held = Vec::new();
    for origin in [&failing, &ending, &chatty, &slamming] {
        let gateway = Setup::for_origin(&origin.url()).start().await;
        let subscription = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
        held.push((gateway, subscription));
    }

    watch_for(time).await;

    let attempts = [&failing, &ending, &chatty, &slamming].map(|origin| origin.requests().len());
    // The default backoff starts at half a second and doubles. A connection that delivers an event resets it.
    assert!(attempts[0] <= 10 && attempts[1] <= 10 && attempts[3] <= 10, "attempts in {time:?}: {attempts:?}");
    assert!((2..=45).contains(&attempts[2]), "attempts in {time:?}: {attempts:?}");
    for index in [0, 1, 3] {
        let gateway = &held[index].0;
        wait_lines(gateway, &["WARN", "upstream lost"], 1).await;
        assert_eq!(lines_with(gateway, &["upstream is back"]), 0, "{index}: {:?}", gateway.log());
    }
}

#[tokio::test]
async fn a_refusal_is_cached_for_concurrent_clients() {
    let origin = Origin::start_with(|_| Answer::status(404)).await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let clients = both_protocols(&gateway, None);
    let began = std::time::Instant::now();

    let herd = join_all((0..200).map(|number| clients[number % 2].subscribe("/missing", &[]))).await;

    let seconds = began.elapsed().as_secs() as usize;
    assert!(herd.iter().all(|response| response.status == 404));
    let requests = origin.requests().len();
    assert!(requests <= 1 + seconds, "{requests} upstream requests in {seconds} s");
    // The cached refusal expires soon.
    origin.welcome();
    eventually(DEADLINE, || async { clients[0].subscribe("/missing", &[]).await.status == 200 }).await;
}

#[tokio::test]
async fn an_endless_event_takes_bounded_memory() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let floods = [
        ("line", Flood::start(HEAD, "dddddddddddddddd").await),
        ("data line", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ", "dddd").await),
        ("event", Flood::start(HEAD, "data: d\n").await),
        ("empty data", Flood::start(HEAD, "data\n").await),
        ("comment", Flood::start("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:", "cccc").await),
        (
            "head",
            Flood::start("HTTP/1.1 200 OK\r\n", "x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await,
        ),
        ("head line", Flood::start("HTTP/1.1 200 OK\r\nx: ", "aaaa").await),
        ("reason", Flood::start("HTTP/1.1 200 ", "aaaa").await),
        ("1xx", Flood::start("", "HTTP/1.1 100 Continue\r\n\r\n").await),
        ("early hints", Flood::start("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await),
    ];
    for (what, flood) in &floods {
        let gateway = Setup::for_origin(&flood.url()).upstream(QUICK).delivery(BEATING).start().await;
        let before = resident(&gateway);
        let mut bystanders = Vec::new();
        for client in both_protocols(&gateway, None) {
            bystanders.push(client.subscribe("/prices", &[]).await);
        }
        let is_held = bystanders[0].status == 200;

        if is_held {
            // The connection is not cut, because events after one that is too large may be valid.
            let read = || async { metric(&gateway, "upstream_bytes_total", &[]).await };
            eventually(DEADLINE, || async { read().await > 4e6 || flood.cuts() >= 3 }).await;
            for bystander in &mut bystanders {
                assert!(bystander.status == 200, "{what}");
                bystander.read_more(DEADLINE).await;
                assert!(bystander.total_bytes() < 4096, "{what}: {} bytes", bystander.total_bytes());
            }
        } else {
            assert_eq!(bystanders[0].status, 502, "{what}");
            assert!(["head", "head line", "reason"].contains(what), "{what}");
            eventually(DEADLINE, || async { flood.cuts() >= 1 }).await;
        }
        assert_grown_by_less_than(&gateway, before, 48);
        assert_eq!(metric(&gateway, "upstream_events_total", &[]).await, 0.0, "{what}");
    }
}
