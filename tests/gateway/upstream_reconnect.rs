//! The change from one upstream connection to the next, and bursts larger than the log.

use std::ops::RangeInclusive;

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

fn events(numbers: RangeInclusive<usize>) -> String {
    numbers.map(|number| format!("id: {number}\ndata: {number}\n\n")).collect()
}

async fn both(gateway: &Rillgate) -> [Subscription; 2] {
    let address = gateway.address();
    [Client::http1(address).subscribe("/a", &[]).await, Client::http2(address).subscribe("/a", &[]).await]
}

async fn expect(client: &mut Subscription, numbers: RangeInclusive<usize>) {
    for number in numbers {
        assert_eq!(client.next_event(DEADLINE).await.data, number.to_string());
    }
}

#[tokio::test]
async fn a_burst_larger_than_the_log_reaches_active_readers() {
    let origin = Origin::start().await;
    // With one worker, every reader is polled between two parts of the burst, however busy the machine is.
    let config = format!("server.workers = 1\n{}", plain(&origin.url(), "replay.events = 100"));
    let gateway = Rillgate::start(&config).await;
    let mut clients = both(&gateway).await;

    origin.emit(events(1..=3_000));

    for client in &mut clients {
        expect(client, 1..=3_000).await;
    }
}

#[tokio::test]
async fn a_replay_that_starts_before_the_log_is_deduplicated() {
    let origin = Origin::start_with(|request| Answer::stream().then(events(1..=20 + request.number))).await;
    let gateway = Rillgate::start(&plain(&origin.url(), "replay = { events = 10, start = \"oldest\" }")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    while client.next_event(DEADLINE).await.data != "20" {}

    for number in 21..24 {
        origin.cut(Cut::Fin);
        expect(&mut client, number..=number).await;
    }

    assert!(!client.comments().iter().any(|comment| comment.contains("gap")), "{:?}", client.comments());
}

#[tokio::test]
async fn a_restarted_producer_that_counts_from_one_again_is_delivered() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream().then(events(1..=20)),
        _ => Answer::stream().then("id: 1\ndata: new 1\n\nid: 15\ndata: new 15\n\n"),
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), "replay = { events = 10, start = \"oldest\" }")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    while client.next_event(DEADLINE).await.data != "20" {}

    origin.cut(Cut::Fin);

    assert_eq!(client.next_event(DEADLINE).await.data, "new 1");
    assert_eq!(client.next_event(DEADLINE).await.data, "new 15");
    let told = client.comments().iter().filter(|comment| comment.contains("gap;reason=upstream")).count();
    assert_eq!(told, 1, "{:?}", client.comments());
}

#[tokio::test]
async fn an_interrupted_replay_is_deduplicated() {
    // Each connection replays everything and fails a little later than the one before, often during the replay.
    let body = events(1..=40);
    let origin = Origin::start_with(move |request| match request.number {
        0 => Answer::stream().then_cut_at(body.as_bytes(), 300, Cut::Fin),
        number if number < 40 => Answer::stream().then_cut_at(body.as_bytes(), number * 13, Cut::Reset),
        _ => Answer::stream().then(body.clone()),
    })
    .await;
    let config = plain(&origin.url(), "replay.start = \"oldest\"").replace("100ms", "10ms");
    let gateway = Rillgate::start(&config).await;

    for client in &mut both(&gateway).await {
        expect(client, 1..=40).await;
        assert!(!client.comments().iter().any(|comment| comment.contains("gap")), "{:?}", client.comments());
    }
}

#[tokio::test]
async fn ids_between_replayed_events_do_not_move_clients_back() {
    const BODY: &str = "id: 1\ndata: a\n\nid: 2\n\nid: 3\ndata: b\n\nid: 4\n\nid: 5\ndata: c\n\n";
    let origin = Origin::start_with(|request| {
        let answer = Answer::stream().then(BODY);
        if request.number == 0 { answer } else { answer.then("data: d\n\nid: 6\n\ndata: e\n\n") }
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), "replay.start = \"oldest\"")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let seen = client.next_events(3).await;
    assert_eq!(seen[2].last_event_id, "5");

    origin.cut(Cut::Reset);

    let seen = client.next_events(2).await;
    let seen: Vec<_> = seen.iter().map(|event| (event.data.as_str(), event.last_event_id.as_str())).collect();
    assert_eq!(seen, [("d", "5"), ("e", "6")]);
    // If a replayed id moved clients back, it would be in the log twice and mean its oldest occurrence.
    let resumed = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "4")]).await;
    assert_eq!(resumed.header("rillgate-resume"), "resumed;missed=3");
    let text = client.read_bytes(client.total_bytes(), DEADLINE).await;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches("id: 2\n").count(), 1, "{text}");
}

#[tokio::test]
async fn an_event_of_max_event_is_delivered_and_a_larger_one_skipped() {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut clients = both(&gateway).await;
    let large = "x".repeat((1 << 20) - 100);

    origin.emit(format!("id: 1\ndata: {large}\n\n"));
    for client in &mut clients {
        let event = client.next_event(DEADLINE).await;
        assert!(event.data == large, "{} bytes of {}", event.data.len(), large.len());
    }
    origin.emit(format!("id: 2\ndata: {large}{large}\n\n"));
    origin.emit(events(3..=3));

    for client in &mut clients {
        expect(client, 3..=3).await;
        client.next_comment("rillgate-resume: gap;reason=too_large", DEADLINE).await;
    }
    assert_eq!(origin.requests().len(), 1, "the upstream was reconnected");
}
