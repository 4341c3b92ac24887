//! Clients that get their response head before the upstream has answered, and the verdict that follows in the stream.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::Origin;
use crate::support::raw::Raw;
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Settings that send the head and heartbeats long before the upstream answers.
const SOON: &str = "[routes.delivery]\nanswer_within = \"20ms\"\nheartbeat = \"50ms\"";

/// Starts an upstream that does not answer yet, and clients of both protocols that have got a pending response.
async fn pending_clients(route: &str, target: &str, headers: &[(&str, &str)]) -> (Origin, Rillgate, [Subscription; 2]) {
    let origin = Origin::start_with(|_| Answer::waiting()).await;
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
    let mut clients = [
        Client::http1(gateway.address()).subscribe(target, headers).await,
        Client::http2(gateway.address()).subscribe(target, headers).await,
    ];
    for client in &mut clients {
        assert_eq!((client.status.as_u16(), client.header("rillgate-resume")), (200, "pending"));
        client.next_comment("rillgate-resume: pending", DEADLINE).await;
        assert_eq!(client.retries().len(), 1);
        // The next bytes are a heartbeat.
        client.read_more(DEADLINE).await;
    }
    (origin, gateway, clients)
}

#[tokio::test]
async fn a_slow_upstream_is_requested_once_while_its_clients_get_heads() {
    for form in ["off", "comment", "gap", "event"] {
        let route = format!("[routes.replay]\nverdict = \"{form}\"\n{SOON}");
        let (origin, _gateway, mut clients) = pending_clients(&route, "/a", &[]).await;

        origin.emit(format!("{HEAD}id: 1\ndata: one\n\n"));

        for client in &mut clients {
            match form {
                "event" => assert_eq!(client.next_event(DEADLINE).await.data, r#"{"resume":"live"}"#),
                _ => drop(client.next_comment("rillgate-resume: live", DEADLINE).await),
            }
            let event = client.next_event(DEADLINE).await;
            assert_eq!((event.data.as_str(), event.last_event_id.as_str()), ("one", "1"), "{form}");
        }
        assert_eq!(origin.requests().len(), 1, "{form}");
    }
}

#[tokio::test]
async fn a_pending_verdict_follows_in_the_stream() {
    for form in ["off", "comment", "gap", "event"] {
        let route = format!("[routes.replay]\nverdict = \"{form}\"\n{SOON}");
        let (origin, _gateway, mut clients) = pending_clients(&route, "/a", &[("last-event-id", "7")]).await;

        origin.emit(HEAD);

        for client in &mut clients {
            match form {
                "off" | "comment" => drop(client.next_comment("rillgate-resume: gap;reason=unknown", DEADLINE).await),
                _ => assert_eq!(client.next_event(DEADLINE).await.data, r#"{"resume":"gap","reason":"unknown"}"#),
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_after_the_head_is_an_error_event_and_the_next_status() {
    let (origin, gateway, clients) = pending_clients(SOON, "/a", &[("last-event-id", "7")]).await;

    origin.emit(NOT_FOUND);

    for mut client in clients {
        let event = client.next_event(DEADLINE).await;
        assert_eq!(event.kind, "rillgate.error");
        assert_eq!(event.data, r#"{"status":404,"reason":"upstream_not_found"}"#);
        assert_eq!(event.last_event_id, "7", "the client lost its last event id");
        assert_eq!(client.expect_end(DEADLINE).await, []);
    }
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        assert_eq!(client.subscribe("/a", &[("last-event-id", "7")]).await.status.as_u16(), 404);
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_found_complete_after_the_head_ends_cleanly_then_204() {
    for answer in ["HTTP/1.1 204 No Content\r\n\r\n", HEAD] {
        let (origin, gateway, clients) = pending_clients(&format!("on_end = \"complete\"\n{SOON}"), "/a", &[]).await;

        origin.emit(answer);
        origin.cut(Cut::Fin);

        for mut client in clients {
            assert_eq!(client.expect_end(DEADLINE).await, [], "{answer}");
        }
        assert_eq!(Client::http1(gateway.address()).subscribe("/a", &[]).await.status.as_u16(), 204, "{answer}");
        assert_eq!(origin.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_limit_counts_from_the_position_found_after_the_head() {
    let (origin, _gateway, clients) = pending_clients(SOON, "/a?limit=2", &[]).await;

    origin.emit(format!("{HEAD}data: 1\n\ndata: 2\n\ndata: 3\n\n"));

    for mut client in clients {
        let data: Vec<_> = client.expect_end(DEADLINE).await.into_iter().map(|event| event.data).collect();
        assert_eq!(data, ["1", "2"]);
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_its_head_in_time() {
    let origin = Origin::start_with(|_| Answer::waiting()).await;
    let gateway = Rillgate::start(&plain(&origin.url(), SOON)).await;
    let mut raw = Raw::dial(&Client::http1(gateway.address())).await;
    raw.send(b"GET /a?limit=1 HTTP/1.0\r\n\r\n").await;
    assert!(raw.read_until("rillgate-resume: pending\nretry: ", DEADLINE).await);
    assert!(raw.read_until("\n:\n", DEADLINE).await, "no heartbeat: {}", raw.text());

    origin.emit(format!("{HEAD}data: 1\n\n"));

    assert!(raw.read_to_end(DEADLINE).await.ends_with("data: 1\n\n"));
}

#[tokio::test]
async fn finite_reads_and_refusing_routes_wait_for_the_outcome() {
    let refuse = format!("{SOON}\nwhen_down = \"refuse\"");
    for (route, target) in
        [(SOON, "/a?follow=false"), (refuse.as_str(), "/a"), ("[routes.delivery]\nanswer_within = \"0s\"", "/a")]
    {
        for (answer, status) in [(HEAD, 200), (NOT_FOUND, 404)] {
            let origin = Origin::start_with(|_| Answer::waiting()).await;
            let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
            let client = Client::http1(gateway.address());
            let request = tokio::spawn(async move { client.subscribe(target, &[]).await });
            eventually(DEADLINE, || async { origin.requests().len() == 1 }).await;
            // Longer than `answer_within`, after which a pending response would be sent.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!request.is_finished(), "{target}");

            origin.emit(answer);

            let response = request.await.unwrap();
            assert_eq!(response.status.as_u16(), status, "{target}");
            assert_ne!(response.header("rillgate-resume"), "pending", "{target}");
        }
    }
}

#[tokio::test]
async fn a_slow_history_is_awaited_after_the_head() {
    let origin = Origin::start().await;
    let route = format!("[routes.replay]\nread_through = true\n{SOON}");
    let config = plain(&origin.url(), &route).replace("backoff =", "open_timeout = \"1s\"\nbackoff =");
    let gateway = Rillgate::start(&config).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.wait_open(1).await;
    origin.emit("id: 5\ndata: 5\n\n");
    reader.next_event(DEADLINE).await;
    origin.answer(|_| Answer::silence());

    let mut client = Client::http1(gateway.address()).subscribe("/a", &[("last-event-id", "3")]).await;

    assert_eq!(client.header("rillgate-resume"), "pending");
    client.next_comment("rillgate-resume: gap;reason=unknown", DEADLINE).await;
    assert_eq!(client.next_event(DEADLINE).await.data, "5");
}
