//! Clients with an id older than the log, caught up from the upstream's own history.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::client::Client;
use crate::support::express::Express;
use crate::support::figures::{metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Request};
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

const ON: &str = "read_through = true";
const TOTAL: &str = "read_throughs_total";

fn emit(origin: &Origin, numbers: RangeInclusive<usize>) {
    for number in numbers {
        origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
    }
}

async fn expect(client: &mut Subscription, numbers: RangeInclusive<usize>) {
    for number in numbers {
        let event = client.next_event(DEADLINE).await;
        assert_eq!((event.last_event_id, event.data), (number.to_string(), number.to_string()));
    }
}

fn events(numbers: RangeInclusive<usize>) -> String {
    numbers.map(|number| format!("id: {number}\ndata: {number}\n\n")).collect()
}

/// Starts a producer with 40 events in its history, and a gateway that has none of them.
async fn restarted(lines: &str) -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    emit(&origin, 1..=40);
    let gateway = Setup::for_origin(&origin.url()).replay(ON).replay(lines).start().await;
    (origin, gateway)
}

/// Starts a gateway whose log has kept 38 to 40 of 31 to 40. Requests after the first are answered by `others`.
async fn evicted(lines: &str, others: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .upstream("open_timeout = \"3s\"")
        .replay("events = 3")
        .replay(ON)
        .replay(lines)
        .start()
        .await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    for number in 31..=40 {
        emit(&origin, number..=number);
        expect(&mut reader, number..=number).await;
    }
    origin.answer(others);
    (origin, gateway)
}

#[tokio::test]
async fn a_restarted_gateway_loses_nothing_when_the_producer_resumes() {
    let (origin, gateway) = restarted("").await;
    let [http1, http2] = both_protocols(&gateway, None);
    let mut first = http1.subscribe("/a", &[("last-event-id", "36")]).await;
    assert_eq!(first.header("rillgate-resume"), "resumed;missed=4");
    assert_eq!(gateway_requests(&origin), [None, Some("36".to_owned())]);

    expect(&mut first, 37..=40).await;
    emit(&origin, 41..=42);
    expect(&mut first, 41..=42).await;

    // The backlog of the first client is not in the log. The second one's backlog is joined to the log.
    let mut second = http2.subscribe("/a", &[("last-event-id", "30")]).await;
    assert_eq!(second.header("rillgate-resume"), "resumed;missed=12");
    emit(&origin, 43..=43);
    expect(&mut second, 31..=43).await;
    expect(&mut first, 43..=43).await;
    // The read-through requests have ended.
    origin.wait_open(1).await;
    assert_eq!(metric(&gateway, TOTAL, &["route=\"all\"", "result=\"ok\""]).await, 2.0);
}

fn gateway_requests(origin: &Origin) -> Vec<Option<String>> {
    origin.requests().iter().map(|request| request.last_event_id().map(str::to_owned)).collect()
}

#[tokio::test]
async fn clients_with_the_same_id_share_one_request() {
    let (origin, gateway) = restarted("").await;
    let [http1, http2] = both_protocols(&gateway, None);
    let clients = (0..40).map(|number| {
        let client = if number % 2 == 0 { &http1 } else { &http2 };
        async move { client.subscribe("/a", &[("last-event-id", "20")]).await }
    });

    for mut client in join_all(clients).await {
        assert_eq!(client.header("rillgate-resume"), "resumed;missed=20");
        expect(&mut client, 21..=40).await;
    }

    // One request is the stream's own. Clients share read-throughs, and one that arrives late may start another.
    let asked = gateway_requests(&origin);
    assert!(asked.len() <= 8, "{asked:?}");
}

#[tokio::test]
async fn an_evicted_id_is_read_through_from_a_producer_with_a_history() {
    for begins in [34, 1] {
        let (origin, gateway) = evicted("", move |_| Answer::stream().then(events(begins..=40))).await;

        for client in both_protocols(&gateway, None) {
            let mut client = client.subscribe("/a", &[("last-event-id", "33")]).await;
            assert_eq!(client.header("rillgate-resume"), "resumed;missed=7", "from {begins}");
            expect(&mut client, 34..=40).await;
        }
        let read = Client::http1(gateway.address()).subscribe("/a?follow=false", &[("last-event-id", "33")]).await;
        let read = { read }.expect_end(DEADLINE).await;
        assert_eq!(
            read.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(),
            ["34", "35", "36", "37", "38", "39", "40"]
        );
        let mut two = Client::http2(gateway.address()).subscribe("/a?limit=2", &[("last-event-id", "33")]).await;
        assert_eq!(two.expect_end(DEADLINE).await.len(), 2);
        drop(origin);
    }
}

#[tokio::test]
async fn a_failed_read_through_is_an_ordinary_gap() {
    type Script = fn(&Request) -> Answer;
    let cases: [(&str, &str, Script); 9] = [
        ("", "unproved", |_| Answer::stream().then(events(38..=40))),
        ("", "unproved", |_| Answer::stream().then(events(40..=40))),
        ("", "unproved", |_| Answer::stream()),
        ("", "late", |_| Answer::stream().then(events(34..=36))),
        ("", "refused", |_| Answer::status(500)),
        ("", "refused", |_| Answer::stream().header("rillgate-resume", "gap;reason=unknown").then(events(34..=40))),
        // A Mercure hub whose history does not reach back to the id.
        ("", "refused", |_| Answer::stream().header("last-event-id", "earliest").then(events(34..=40))),
        ("", "ended", |_| Answer::stream().then(events(34..=36)).then_cut(crate::support::script::Cut::End)),
        ("read_through_limit.events = 3", "too_large", |_| Answer::stream().then(events(34..=40))),
    ];
    for (lines, result, script) in cases {
        let (_origin, gateway) = evicted(lines, script).await;

        for client in both_protocols(&gateway, None) {
            let mut client = client.subscribe("/a", &[("last-event-id", "33")]).await;
            assert_eq!(client.header("rillgate-resume"), "gap;reason=evicted", "{result}");
            expect(&mut client, 38..=40).await;
        }
        wait_metric(&gateway, TOTAL, &["route=\"all\"", &format!("result=\"{result}\"")], 2.0).await;
    }
}

#[tokio::test]
async fn concurrent_read_throughs_are_bounded() {
    let lines = "read_through_limit.concurrent = 2";
    let (origin, gateway) = evicted(lines, |_| Answer::silence()).await;
    let client = Client::http1(gateway.address());
    let asking = (1..=10).map(|id| {
        let (client, id) = (&client, id.to_string());
        async move { client.subscribe("/a", &[("last-event-id", &id)]).await }
    });

    for mut client in join_all(asking).await {
        assert_eq!(client.header("rillgate-resume"), "gap;reason=unknown");
        expect(&mut client, 38..=40).await;
    }

    // On a busy machine a client may arrive after the first read-throughs have ended.
    let busy = metric(&gateway, TOTAL, &["route=\"all\"", "result=\"busy\""]).await;
    assert!(busy >= 1.0, "{busy}");
    assert_eq!(origin.requests().len() as f64, 1.0 + 10.0 - busy, "one for the stream, and one for each read-through");
}

/// A gateway that has just started, before a producer with a history of 100 events of 1 KiB.
async fn with_large_history(lines: &str) -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    for number in 1..=100 {
        origin.emit(Emission::event(&number.to_string(), "", &format!("{number} {}", "x".repeat(1024))));
    }
    let gateway = Setup::for_origin(&origin.url()).replay(ON).replay(lines).start().await;
    (origin, gateway)
}

#[tokio::test]
async fn slow_readers_do_not_keep_others_from_the_history() {
    let (_origin, gateway) = with_large_history("").await;
    let slow = Client::http2(gateway.address()).window(768);
    let mut slow = slow.connect().await.expect("a connection");
    let mut unread = Vec::new();
    for id in 1..=16 {
        unread.push(slow.subscribe("/a", &[("last-event-id", &id.to_string())]).await);
    }

    for client in both_protocols(&gateway, None) {
        let mut honest = client.subscribe("/a", &[("last-event-id", "20")]).await;
        assert_eq!(honest.header("rillgate-resume"), "resumed;missed=80");
        let events = honest.next_events(80).await;
        assert_eq!(events.iter().map(|event| event.last_event_id.as_str()).next_back(), Some("100"));
    }

    assert!(unread.iter().all(|slow| slow.header("rillgate-resume").starts_with("resumed;missed=")));
    assert_eq!(metric(&gateway, TOTAL, &["result=\"ok\""]).await, 18.0);
}

#[tokio::test]
async fn slow_readers_lag_when_the_memory_for_histories_is_used_up() {
    // Room for two of them.
    let lines = "read_through_limit = { bytes = \"128KiB\", concurrent = 2 }";
    let (_origin, gateway) = with_large_history(lines).await;
    let slow = Client::http2(gateway.address()).coming_from([127, 0, 0, 2].into()).window(768);
    let mut slow = slow.connect().await.expect("a connection");
    let mut unread = Vec::new();
    for id in 1..=8 {
        unread.push(slow.subscribe("/a", &[("last-event-id", &id.to_string())]).await);
    }

    let mut honest = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "20")]).await;

    assert_eq!(honest.header("rillgate-resume"), "resumed;missed=80");
    assert_eq!(honest.next_events(80).await.len(), 80);
    // They read on and come to what is no longer there.
    let mut oldest = unread.remove(0);
    assert!(oldest.expect_end(DEADLINE).await.len() < 99);
    wait_metric(&gateway, "subscriptions_ended_total", &["reason=\"lagged\""], 1.0).await;
}

#[tokio::test]
async fn one_client_has_at_most_a_quarter_of_the_requests_for_history() {
    let (origin, gateway) = evicted("read_through_limit.concurrent = 8", |request| match request.last_event_id() {
        Some("33") => Answer::stream().then(events(34..=40)),
        _ => Answer::silence(),
    })
    .await;
    let greedy = Client::http2(gateway.address()).coming_from([127, 0, 0, 2].into());
    let asking: Vec<_> = (1..=8)
        .map(|id| {
            let greedy = greedy.clone();
            tokio::spawn(async move { greedy.subscribe("/a", &[("last-event-id", &id.to_string())]).await })
        })
        .collect();
    // The stream's own connection, and two of eight.
    origin.wait_open(3).await;

    let other = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "33")]).await;

    assert_eq!(other.header("rillgate-resume"), "resumed;missed=7");
    // Further ones wait.
    origin.wait_open(3).await;
    for asking in asking {
        assert_eq!(asking.await.unwrap().header("rillgate-resume"), "gap;reason=unknown");
    }
    let refused = metric(&gateway, "shares_refused_total", &["room=\"read_through\""]).await;
    assert!(refused >= 1.0, "{refused}");
}

#[tokio::test]
async fn the_read_through_request_differs_only_in_its_id() {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    emit(&origin, 1..=5);
    let gateway = Setup::for_origin(&origin.url())
        .upstream("headers = { x-key = \"k\" }")
        .replay(ON)
        .after("[routes.share]\nquery = [\"depth\"]\nheaders = [\"x-tenant\"]")
        .start()
        .await;
    let headers = [("last-event-id", "2"), ("x-tenant", "acme"), ("authorization", "Bearer mine")];

    let mut client = Client::http2(gateway.address()).subscribe("/a?depth=5&other=1", &headers).await;
    expect(&mut client, 3..=5).await;

    let requests = origin.requests();
    let [own, extra] = requests.as_slice() else { panic!("{requests:?}") };
    let without_id = |request: &Request| {
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| name != "last-event-id");
        (request.target.clone(), headers)
    };
    assert_eq!(without_id(own), without_id(extra));
    assert_eq!((extra.target.as_str(), extra.header("x-tenant")), ("/a?depth=5", Some("acme")));
}

#[tokio::test]
async fn a_producer_that_echoes_the_id_in_its_head_is_trusted() {
    let (origin, gateway) = restarted("").await;
    origin.answer(|request| match request.last_event_id() {
        Some(id) => Answer::stream().header("last-event-id", id),
        None => Answer::stream(),
    });

    for client in both_protocols(&gateway, None) {
        let client = client.subscribe("/a", &[("last-event-id", "40")]).await;
        assert_eq!(client.header("rillgate-resume"), "resumed;missed=0");
    }
}

#[tokio::test]
async fn a_silent_producer_that_does_not_echo_the_id_is_not_trusted() {
    let (_origin, gateway) = restarted("").await;

    for (client, id) in both_protocols(&gateway, None).iter().zip(["40", "never"]) {
        let mut client = client.subscribe("/a", &[("last-event-id", id)]).await;
        assert_eq!(client.header("rillgate-resume"), "gap;reason=unknown");
        client.next_comment("rillgate-resume", DEADLINE).await;
    }
}

#[tokio::test]
async fn a_read_through_is_cancelled_when_its_only_client_leaves() {
    let (origin, gateway) = evicted("", |_| Answer::silence()).await;
    let mut client = Client::http2(gateway.address()).connect().await.expect("a connection");

    let asked = tokio::time::timeout(Duration::from_millis(300), client.subscribe("/a", &[("last-event-id", "33")]));
    assert!(asked.await.is_err(), "the client was answered");
    drop(client);

    origin.wait_open(1).await;
}

#[tokio::test]
async fn express_clients_miss_nothing_at_a_restart_with_read_through() {
    let express = Express::start().await;
    let setup = Setup::for_origin(&format!("{}/feed", express.url())).replay(ON);
    let first = setup.start().await;
    let mut client = Client::http1(first.address()).subscribe("/eur", &[]).await;
    let mut seen = vec![number(&client.next_event(DEADLINE).await.data)];
    seen.push(number(&client.next_event(DEADLINE).await.data));
    let id = client.last_event_id().to_owned();
    drop((client, first));
    // The producer emits more events while no gateway runs.
    let mut direct = Client::http1(express.address()).subscribe("/feed/eur", &[]).await;
    direct.next_events(3).await;

    let second = setup.start().await;
    // The log of the second gateway begins after the events that the client missed.
    let mut reader = Client::http1(second.address()).subscribe("/eur", &[]).await;
    reader.next_event(DEADLINE).await;
    let mut client = Client::http2(second.address()).subscribe("/eur", &[("last-event-id", &id)]).await;

    assert!(client.header("rillgate-resume").starts_with("resumed;missed="), "{:?}", client.headers);
    for _ in 0..20 {
        seen.push(number(&client.next_event(DEADLINE).await.data));
    }
    let first = seen[0];
    assert_eq!(seen, (first..first + 22).collect::<Vec<_>>());
}

fn number(data: &str) -> u64 {
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    data["number"].as_u64().expect("a number")
}
