//! One upstream connection for any number of clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::express::Express;
use crate::support::load::{LONG, request, subscribe_all};
use crate::support::origin::{Connections, Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually, within};

const FEED: &str = "/feed/EURUSD?interval=500";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_see_every_event_once_through_one_connection() {
    let express = Express::start().await;
    let authority = Authority::new();
    let identity = authority.server();
    let gateway = Rillgate::start(&format!(
        r#"
        [[listeners]]
        address = "127.0.0.1:0"
        tls = {{ certificates = [{{ chain = "{}", key = "{}" }}] }}
        [limits]
        connections_per_ip = 5000
        subscriptions_per_ip = 10000
        [upstreams.express]
        urls = ["{}"]
        [[routes]]
        name = "feed"
        path = "/feed/{{symbol}}"
        upstream = "express"
        auth = "public"
        share = {{ query = ["interval"] }}
        "#,
        identity.chain.display(),
        identity.key.display(),
        express.url(),
    ))
    .await;
    let http1 = Client::http1(gateway.address()).tls(&authority);
    let http2 = Client::http2(gateway.address()).tls(&authority);
    // 1,000 clients over HTTP/1.1, and 1,000 over HTTP/2: 90 connections with 10 streams each, 100 with one.
    let connections = std::iter::repeat_n((http1, 1), 1_000)
        .chain(std::iter::repeat_n((http2.clone(), 10), 90))
        .chain(std::iter::repeat_n((http2, 1), 100));
    let mut clients = subscribe_all(FEED, connections.collect()).await;
    assert_eq!(clients.len(), 2_000);
    assert!(clients.iter().all(|client| client.status.as_u16() == 200));

    // Some clients have been waiting since the first event and some are new. All must reach the same event.
    let mut last = 0;
    for client in &mut clients {
        last = last.max(number(client).await.0);
    }
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let mut previous = number(&mut client).await;
            while previous.0 < last + 5 {
                let next = number(&mut client).await;
                assert_eq!(next.0, previous.0 + 1);
                assert!(next.1 > previous.1, "ids must increase: {} after {}", next.1, previous.1);
                previous = next;
            }
            previous
        });
    }
    let seen = within(LONG, "the same event for every client", reading.join_all()).await;

    assert_eq!(seen.len(), 2_000);
    assert!(seen.iter().all(|event| *event == seen[0]));
    assert_eq!(express.connections().await, (1, 1));
}

/// Reads the next event and returns its number and id.
async fn number(client: &mut Subscription) -> (u64, String) {
    let event = client.next_event(LONG).await;
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    (data["number"].as_u64().unwrap(), event.last_event_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thundering_herd_opens_a_stream_once() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let start = Arc::new(Barrier::new(2_000));
    let mut herd = JoinSet::new();
    for number in 0..2_000 {
        let address = gateway.address();
        let client = if number % 2 == 0 { Client::http1(address) } else { Client::http2(address) };
        let start = start.clone();
        herd.spawn(async move {
            let mut connection = client.connect().await.unwrap();
            start.wait().await;
            let mut subscription = request(&mut connection, "/cold").await;
            subscription.next_comment("rillgate-resume: live", LONG).await;
            subscription
        });
    }
    let clients = within(LONG, "response for every client", herd.join_all()).await;

    origin.emit(Emission::event("1", "", "one"));

    for mut client in clients {
        assert_eq!(client.next_event(LONG).await.data, "one");
    }
    assert_eq!(origin.connections(), Connections { open: 1, total: 1 });
}

#[tokio::test]
async fn an_upstream_is_closed_when_the_linger_ends() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "delivery.linger = \"700ms\"")).await;
    let [first, last] = [Client::http1(gateway.address()), Client::http2(gateway.address())];
    let first = first.subscribe("/a", &[]).await;
    let last = last.subscribe("/a", &[]).await;
    drop(first);

    let left_at = Instant::now();
    drop(last);
    origin.wait_open(0).await;

    assert!(left_at.elapsed() >= Duration::from_millis(700));
    assert_eq!(origin.connections().total, 1);
}

#[tokio::test]
async fn an_upstream_stays_open_when_a_client_returns_within_the_linger() {
    let origin = Origin::start().await;
    let route = "delivery = { linger = \"3s\", heartbeat = \"100ms\" }";
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
    let client = Client::http1(gateway.address());
    let mut first = client.subscribe("/a", &[]).await;
    origin.emit(Emission::event("1", "", "one"));
    first.next_event(DEADLINE).await;
    drop(first);

    let mut second = client.subscribe("/a", &[("last-event-id", "1")]).await;
    assert_eq!(second.header("rillgate-resume"), "resumed;missed=0");
    // Heartbeats pass the time until the linger that began when the first client left has expired.
    let returned_at = Instant::now();
    while returned_at.elapsed() < Duration::from_millis(3_500) {
        second.next_comment("", DEADLINE).await;
    }

    assert_eq!(origin.connections(), Connections { open: 1, total: 1 });
    origin.emit(Emission::event("2", "", "two"));
    assert_eq!(second.next_event(DEADLINE).await.data, "two");
}

#[tokio::test]
async fn an_always_open_route_has_a_log_for_its_first_client() {
    let origin = Origin::start().await;
    let route = "open = \"always\"\nreplay.start = \"oldest\"\ndelivery.linger = \"1ms\"";
    let config = plain(&origin.url(), route).replace("/{name}", "/all");
    let gateway = Rillgate::start(&config).await;
    origin.wait_open(1).await;
    origin.emit(Emission::event("1", "", "one"));
    let client = Client::http1(gateway.address());

    // The first client may subscribe before the event has arrived, but not before the stream is open.
    for _ in 0..2 {
        let mut subscription = client.subscribe("/all", &[]).await;
        assert_eq!(subscription.next_event(DEADLINE).await.data, "one");
    }
    origin.cut(crate::support::script::Cut::Reset);
    eventually(DEADLINE, || async { origin.connections() == Connections { open: 1, total: 2 } }).await;

    assert_eq!(origin.requests()[1].last_event_id(), Some("1"));
}

#[tokio::test]
async fn heartbeats_are_sent_during_silence() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "delivery.heartbeat = \"100ms\"")).await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut subscription = client.subscribe("/a", &[]).await;
        subscription.next_comment("rillgate-resume: live", DEADLINE).await;
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(subscription.next_comment("", DEADLINE).await.trim(), "");
        }
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }
}
