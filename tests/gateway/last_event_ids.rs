//! The ways in which clients send a last event id. Each resumes or gets a gap, and none is treated as a new client.

use std::time::Duration;

use crate::clients::{EVENTSOURCE, FETCH_EVENT_SOURCE};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::figures::watch_for;
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

/// Starts a gateway whose log has an event with this id and one more, and a reader that keeps the stream open.
async fn after(id: &str, route: &str) -> (Origin, Rillgate, Subscription) {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit(format!("id:{id}\ndata: named\n\n"));
    origin.emit("id: next\ndata: next\n\n");
    reader.next_events(2).await;
    (origin, gateway, reader)
}

/// Returns the responses to this target with this header, over both protocols.
async fn answers(gateway: &Rillgate, target: &str, header: Option<&[u8]>) -> Vec<Subscription> {
    let headers: Vec<_> = header.map(|value| ("last-event-id", value)).into_iter().collect();
    let mut answers = Vec::new();
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut connection = client.connect().await.unwrap();
        answers.push(connection.try_request_in_bytes("GET", target, &headers).await.unwrap());
    }
    answers
}

#[tokio::test]
async fn an_id_is_found_in_every_encoding_that_clients_send() {
    let long = "x".repeat(7000);
    for (id, header, parameter) in [
        (" 42", &b"42"[..], "42"),
        (" caf\u{e9}", "caf\u{e9}".as_bytes(), "caf%C3%A9"),
        (" caf\u{e9}", b"caf\xe9", "caf%E9"),
        (" \u{20ac} 1", "\u{20ac} 1".as_bytes(), "%E2%82%AC+1"),
        // HTTP strips spaces around a field value.
        (" 42 ", b"42", "42+"),
        ("  42", b"42", "+42"),
        (" \t42", b"42", "%0942"),
        (&long, long.as_bytes(), &long),
    ] {
        let (_origin, gateway, _reader) = after(id, "").await;
        let by_parameter = format!("/a?last_event_id={parameter}");
        let mut clients = answers(&gateway, "/a", Some(header)).await;
        clients.extend(answers(&gateway, &by_parameter, None).await);

        for client in &mut clients {
            assert_eq!(client.header("rillgate-resume"), "resumed;missed=1", "{id:?}");
            // The response first sets the id in force, as the producer wrote it.
            client.read_more(DEADLINE).await;
            while client.last_event_id().is_empty() {
                client.read_more(DEADLINE).await;
            }
            assert_eq!(client.next_event(DEADLINE).await.data, "next", "{id:?}");
        }
    }
}

#[tokio::test]
async fn an_id_longer_than_a_header_is_sent_whole_to_a_slow_reader() {
    let long = "x".repeat(300_000);
    for form in ["comment", "event"] {
        let route = format!("[routes.replay]\nverdict = \"{form}\"");
        let (origin, gateway, _reader) = after(" 1", &route).await;
        let mut reader = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "1")]).await;
        origin.emit(format!("id: {long}\ndata: long\n\n"));
        while reader.next_event(DEADLINE).await.data != "long" {}

        let clients =
            [Client::http1(gateway.address()).receive_buffer(4096), Client::http2(gateway.address()).window(16 * 1024)];
        for client in clients {
            let mut client = client.subscribe("/a", &[]).await;
            while client.last_event_id().len() < long.len() {
                client.read_more(DEADLINE).await;
            }
            origin.emit("data: behind it\n\n");
            let mut event = client.next_event(DEADLINE).await;
            while event.data != "behind it" {
                event = client.next_event(DEADLINE).await;
            }
            assert_eq!(event.last_event_id.len(), long.len(), "{form}");
        }
    }
}

#[tokio::test]
async fn an_invalid_id_is_a_gap_and_not_ignored() {
    for (start, follow) in [("live", true), ("oldest", true), ("live", false)] {
        let (_origin, gateway, _reader) = after(" 1", &format!("[routes.replay]\nstart = \"{start}\"")).await;
        let long = "x".repeat(7000);
        let wrong = ["%00", "1%00", "%0A", "1%0D%0A", "%E9", long.as_str()];

        for value in wrong {
            let target = format!("/a?last_event_id={value}&follow={follow}");
            for mut client in answers(&gateway, &target, None).await {
                assert_eq!(client.header("rillgate-resume"), "gap;reason=unknown", "{value}");
                assert_eq!(client.next_event(DEADLINE).await.data, "named", "{value}: from the oldest, as on_gap says");
            }
        }
        for client in answers(&gateway, "/a", Some(&[b'x'; 7000])).await {
            assert_eq!(client.header("rillgate-resume"), "gap;reason=unknown");
        }
    }
}

#[tokio::test]
async fn ids_that_differ_only_in_outer_spaces_lose_nothing() {
    let (origin, gateway, mut reader) = after(" 7 ", "").await;
    origin.emit("id: 7\ndata: again\n\n");
    reader.next_events(1).await;

    for mut client in answers(&gateway, "/a", Some(b"7")).await {
        assert_eq!(client.header("rillgate-resume"), "resumed;missed=2");
        let data: Vec<_> = client.next_events(2).await.into_iter().map(|event| event.data).collect();
        assert_eq!(data, ["next", "again"]);
    }
}

#[tokio::test]
async fn the_last_of_several_headers_or_parameters_counts() {
    let (_origin, gateway, _reader) = after(" 1", "").await;

    for target in
        ["/a?last_event_id=9&last_event_id=1", "/a?last_event_id=9&lastEventId=1", "/a?lastEventId=9&last_event_id=1"]
    {
        for client in answers(&gateway, target, None).await {
            assert_eq!(client.header("rillgate-resume"), "resumed;missed=1", "{target}");
        }
    }
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let client = client.subscribe("/a", &[("last-event-id", "9"), ("last-event-id", "1")]).await;
        assert_eq!(client.header("rillgate-resume"), "resumed;missed=1");
    }
}

#[tokio::test]
async fn a_real_client_misses_nothing_with_any_ids() {
    let authority = Authority::new();
    for client in [&EVENTSOURCE, &FETCH_EVENT_SOURCE] {
        // Both clients send an id in Latin-1 and cannot send other characters.
        for form in ["N", "\u{e9} N", " N "] {
            let origin = Origin::start().await;
            let route = "[routes.delivery]\nmax_age = \"150ms\"\nretry = \"5ms\"";
            let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
            let url = format!("http://{}/a", gateway.address());
            let running = client.follow(&authority, &url, None, &["message"]);
            origin.wait_open(1).await;

            // The events are spread over several connections of the client.
            for number in 0..60 {
                origin.emit(format!("id: {}\ndata: {number}\n\n", form.replace('N', &number.to_string())));
                watch_for(Duration::from_millis(20)).await;
            }

            let seen = running.wait_events(60).await;
            let numbers: Vec<usize> = seen.iter().map(|event| event.data.parse().unwrap()).collect();
            assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{} with {form:?}", client.name);
        }
    }
}
