//! The producer dies in every way and at every moment, and its clients miss no event.

use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut, Request};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

const WAYS: [Cut; 4] = [Cut::End, Cut::Fin, Cut::Reset, Cut::TruncatedChunk];

/// The event in which the producer dies: every kind of line, and a character of several bytes.
const VICTIM: &str = ": c\r\nid: 2\nevent: price\nretry: 40\ndata: a\r\ndata: \u{20ac}\n\n";

const FROM_THE_OLDEST: &str = "[routes.replay]\nstart = \"oldest\"";

fn event(number: usize) -> String {
    if number == 2 { VICTIM.to_owned() } else { format!("id: {number}\ndata: {number}\n\n") }
}

/// Answers the first request up to an offset in event 2, as the path says (`/WAY-OFFSET`), and resumes on later ones.
fn dies_once(request: &Request) -> Answer {
    let (way, offset) = request.target[1..].split_once('-').unwrap();
    let (way, offset) = (WAYS[way.parse::<usize>().unwrap()], offset.parse().unwrap());
    match request.last_event_id() {
        None => Answer::stream().then(event(1)).then_cut_at(VICTIM.as_bytes(), offset, way),
        Some(id) => {
            let id: usize = id.parse().unwrap();
            (id + 1..=3).fold(Answer::stream(), |answer, number| answer.then(event(number)))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_cut_at_any_byte_arrives_whole_and_once() {
    let origin = Origin::start_with(dies_once).await;
    let gateway = Rillgate::start(&plain(&origin.url(), FROM_THE_OLDEST)).await;
    let http1 = Client::http1(gateway.address());
    let mut http2 = Client::http2(gateway.address()).connect().await.unwrap();
    let mut clients = Vec::new();
    // The number of streams stays within the limit of one HTTP/2 connection.
    for way in 0..WAYS.len() {
        for offset in 0..=VICTIM.len() {
            let path = format!("/{way}-{offset}");
            clients.push((path.clone(), http1.subscribe(&path, &[]).await));
            clients.push((path.clone(), http2.subscribe(&path, &[]).await));
        }
    }

    for (path, client) in &mut clients {
        for number in 1..=3 {
            expect_number(path, client, number).await;
        }
    }
    origin.wait_open(clients.len() / 2).await;
    origin.emit(event(4).as_str());

    for (path, client) in &mut clients {
        expect_number(path, client, 4).await;
    }
    assert_eq!(origin.requests().len(), clients.len(), "each stream must be opened twice");
}

async fn expect_number(path: &str, client: &mut Subscription, number: usize) {
    let seen = client.next_event(DEADLINE).await;
    let expected = match number {
        2 => ("price", "a\n\u{20ac}".to_owned()),
        _ => ("message", number.to_string()),
    };
    assert_eq!((seen.kind.as_str(), seen.data), expected, "{path}");
    assert_eq!(seen.last_event_id, number.to_string(), "{path}");
}

#[tokio::test]
async fn a_producer_that_dies_again_and_again_loses_no_event() {
    let origin = Origin::start().await;
    origin.honour_last_event_id();
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut http1 = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let mut http2 = Client::http2(gateway.address()).subscribe("/a", &[]).await;
    origin.emit(Emission::event("0", "", "0"));
    assert_eq!(
        (http1.next_event(DEADLINE).await.data, http2.next_event(DEADLINE).await.data),
        ("0".into(), "0".into())
    );

    for number in 1..=300_usize {
        origin.emit(Emission::event(&number.to_string(), "", &number.to_string()));
        if number % 5 == 0 {
            origin.cut(WAYS[number / 5 % WAYS.len()]);
        }
        if number % 30 == 0 {
            origin.wait_open(1).await;
        }
    }

    for client in [&mut http1, &mut http2] {
        let events = client.next_events(300).await;
        let numbers: Vec<_> = events.iter().map(|event| event.data.parse::<usize>().unwrap()).collect();
        assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
        assert!(events.iter().all(|event| event.last_event_id == event.data));
    }
}

#[tokio::test]
async fn a_producer_killed_before_its_first_byte_is_retried_with_backoff() {
    const KILLS: usize = 20;
    for silent in [Answer::stream().then_cut(Cut::Fin), Answer::raw("").then_cut(Cut::Reset), Answer::status(503)] {
        let origin = Origin::start_with(move |request| match request.number {
            0 => Answer::stream().then(event(1)).then_cut(Cut::Reset),
            1..=KILLS => silent.clone(),
            _ => Answer::stream(),
        })
        .await;
        let gateway = Rillgate::start(&plain(&origin.url(), FROM_THE_OLDEST)).await;
        let before = Instant::now();
        let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;

        origin.wait_open(1).await;
        let elapsed = before.elapsed();
        origin.emit(Emission::event("2", "price", "a\n\u{20ac}"));

        expect_number("", &mut client, 1).await;
        expect_number("", &mut client, 2).await;
        assert_eq!(origin.connections().total, KILLS + 2);
        // With full jitter the shortest delays are 1, 2, 4, 8 and then 10 ms each.
        assert!(elapsed >= Duration::from_millis(150), "{KILLS} attempts in {elapsed:?}");
        assert!(origin.requests()[1..].iter().all(|request| request.last_event_id() == Some("1")));
    }
}

#[tokio::test]
async fn a_full_replay_after_a_reconnect_is_deduplicated() {
    let origin = Origin::start_with(|request| {
        let known = 5 + 2 * request.number;
        (1..=known).fold(Answer::stream(), |answer, number| answer.then(event(number)))
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), FROM_THE_OLDEST)).await;
    let mut http1 = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    let mut http2 = Client::http2(gateway.address()).subscribe("/a", &[]).await;

    for (lives, way) in WAYS.into_iter().enumerate() {
        let expected = if lives == 0 { 1..=5 } else { 4 + 2 * lives..=5 + 2 * lives };
        for number in expected {
            expect_number("", &mut http1, number).await;
            expect_number("", &mut http2, number).await;
        }
        origin.cut(way);
    }

    for client in [&http1, &http2] {
        assert!(!client.comments().iter().any(|comment| comment.contains("gap")), "{:?}", client.comments());
    }
}

#[tokio::test]
async fn a_producer_that_lost_its_history_causes_a_gap() {
    for verdict in ["off", "comment", "gap", "event"] {
        let origin = Origin::start().await;
        let route = format!("[routes.replay]\nverdict = \"{verdict}\"");
        let gateway = Rillgate::start(&plain(&origin.url(), &route)).await;
        let mut http1 = Client::http1(gateway.address()).subscribe("/a", &[]).await;
        let mut http2 = Client::http2(gateway.address()).subscribe("/a", &[]).await;
        for client in [&mut http1, &mut http2] {
            if verdict == "event" {
                assert_eq!(client.next_event(DEADLINE).await.data, r#"{"resume":"live"}"#);
            }
        }
        origin.emit(Emission::event("1", "", "1"));
        for client in [&mut http1, &mut http2] {
            assert_eq!(client.next_event(DEADLINE).await.data, "1");
        }

        origin.cut(Cut::Fin);
        origin.wait_open(1).await;
        origin.emit(Emission::event("9", "", "9"));

        for client in [&mut http1, &mut http2] {
            if verdict == "event" {
                let gap = client.next_event(DEADLINE).await;
                assert_eq!(
                    (gap.kind.as_str(), gap.data.as_str()),
                    ("rillgate.resume", r#"{"resume":"gap","reason":"upstream"}"#)
                );
                assert_eq!(gap.last_event_id, "1");
            }
            let event = client.next_event(DEADLINE).await;
            assert_eq!((event.data.as_str(), event.last_event_id.as_str()), ("9", "9"));
            let told = client.comments().iter().any(|comment| comment == " rillgate-resume: gap;reason=upstream");
            assert_eq!(told, verdict == "comment" || verdict == "gap", "{verdict}: {:?}", client.comments());
        }
    }
}
