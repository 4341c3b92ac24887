//! Streams that complete, and finite responses.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually, within};

const THREE: &str = "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n";

async fn data_to_the_end(subscription: &mut Subscription) -> Vec<String> {
    subscription.expect_end(DEADLINE).await.into_iter().map(|event| event.data).collect()
}

#[tokio::test]
async fn late_clients_read_a_complete_stream_to_its_end_and_then_get_204() {
    let origin = Origin::start_with(|_| Answer::stream().then(THREE).then_cut(Cut::End)).await;
    let route = "on_end = \"complete\"\n[routes.replay]\nstart = \"oldest\"";
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        for (id, follow) in [("", &["1", "2", "3"][..]), ("1", &["2", "3"]), ("2", &["3"]), ("9", &["1", "2", "3"])] {
            let mut late = client.subscribe("/a", &[("last-event-id", id)]).await;
            assert_eq!(late.status.as_u16(), 200);
            assert_eq!(data_to_the_end(&mut late).await, follow, "after {id:?}");
        }
        let mut done = client.subscribe("/a", &[("last-event-id", "3")]).await;
        assert_eq!((done.status.as_u16(), done.text().await.as_str()), (204, ""));
    }
    assert_eq!(origin.connections().total, 1);
}

#[tokio::test]
async fn an_event_source_that_has_read_everything_gets_204() {
    let done = "data: [DONE]\n\n";
    for (ids, tail) in
        [("keep", done), ("fill", done), ("replace", done), ("keep", "retry: 5\n\n"), ("keep", "id: 3\ndata: 3\n\n")]
    {
        let origin = Origin::start_with(move |_| Answer::stream().then(THREE).then(tail).then_cut(Cut::End)).await;
        let route = format!("on_end = \"complete\"\n[routes.replay]\nstart = \"oldest\"\nids = \"{ids}\"");
        let gateway = Rillgate::start(&plain(&origin.url(), &route)).await;
        for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
            let mut first = client.subscribe("/a", &[]).await;
            let events = first.expect_end(DEADLINE).await;
            assert!(events.len() >= 3, "{ids} {tail}");
            if ids == "keep" && tail == done {
                assert_eq!(events[3].last_event_id, "3", "the id differs from the producer's own");
            }

            let all = client.subscribe("/a", &[("last-event-id", first.last_event_id())]).await;
            assert_eq!(all.status.as_u16(), 204, "{ids} {tail}: {}", first.last_event_id());

            // A client that lost its connection right after the third event still gets the rest.
            let third = events[2].last_event_id.as_str();
            let mut rest = client.subscribe("/a", &[("last-event-id", third)]).await;
            assert_eq!((rest.status.as_u16(), data_to_the_end(&mut rest).await.len()), (200, events.len() - 3));
            let nothing = client.subscribe("/a", &[("last-event-id", rest.last_event_id())]).await;
            assert_eq!(nothing.status.as_u16(), 204, "{ids} {tail}");
        }
    }
}

#[tokio::test]
async fn a_broken_response_does_not_complete_a_stream() {
    for how in [Cut::Fin, Cut::Reset, Cut::TruncatedChunk] {
        let origin = Origin::start_with(move |request| match request.last_event_id() {
            None => Answer::stream().then("id: 1\ndata: 1\n\n").then_cut(how),
            Some(_) => Answer::stream().then("id: 2\ndata: 2\n\n").then_cut(Cut::End),
        })
        .await;
        let route = "on_end = \"complete\"\n[routes.replay]\nstart = \"oldest\"";
        let gateway = Rillgate::start(&plain(&origin.url(), route)).await;

        let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;

        assert_eq!(data_to_the_end(&mut client).await, ["1", "2"], "{how:?}");
    }
}

#[tokio::test]
async fn an_upstream_204_completes_the_stream() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream().then(THREE).then_cut(Cut::End),
        _ => Answer::status(204),
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), "[routes.replay]\nstart = \"oldest\"")).await;
    let client = Client::http1(gateway.address());

    let mut connected = client.subscribe("/a", &[]).await;

    assert_eq!(data_to_the_end(&mut connected).await, ["1", "2", "3"]);
    assert_eq!(client.subscribe("/a", &[("last-event-id", "3")]).await.status.as_u16(), 204);
    let never = client.subscribe("/b", &[]).await;
    assert_eq!(never.status.as_u16(), 204, "the stream was complete at its first connection");
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn follow_false_returns_the_log_and_keeps_the_connection_alive() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit(THREE);
    reader.next_events(3).await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut connection = client.connect().await.unwrap();
        for (target, verdict, follow) in [
            ("/a?follow=false", "replay;missed=3", &["1", "2", "3"][..]),
            ("/a?follow=false&last_event_id=2", "resumed;missed=1", &["3"]),
            ("/a?follow=false&last_event_id=3", "resumed;missed=0", &[]),
            ("/a?follow=false&limit=2", "replay;missed=3", &["1", "2"]),
            ("/a?limit=2&last_event_id=1", "resumed;missed=2", &["2", "3"]),
        ] {
            let mut response = connection.subscribe(target, &[]).await;
            assert_eq!(response.header("rillgate-resume"), verdict, "{target}");
            assert_eq!(data_to_the_end(&mut response).await, follow, "{target}");
        }
    }
    for wrong in ["/a?follow=no", "/a?limit=0", "/a?limit=-1", "/a?limit=x", "/a?limit=1&limit=2"] {
        assert_eq!(Client::http1(gateway.address()).subscribe(wrong, &[]).await.status.as_u16(), 400, "{wrong}");
    }
    assert_eq!(origin.connections().total, 1);
}

#[tokio::test]
async fn limit_n_ends_the_response_after_n_events() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut http1 = Client::http1(gateway.address()).subscribe("/a?limit=2", &[]).await;
    let mut http2 = Client::http2(gateway.address()).subscribe("/a?limit=2", &[]).await;

    origin.emit("retry: 9\ndata: 1\n\n");
    origin.emit("data: 2\n\ndata: 3\n\n");

    for client in [&mut http1, &mut http2] {
        assert_eq!(data_to_the_end(client).await, ["1", "2"]);
    }
}

#[tokio::test]
async fn http_1_0_clients_and_clients_that_close_are_served() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let client = Client::http1(gateway.address());
    for (head, version, is_chunked) in [
        ("GET /a?limit=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200", false),
        ("GET /a?limit=1 HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", "HTTP/1.0 200", false),
        ("GET /a?limit=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 200", true),
    ] {
        let mut bare = client.dial().await.unwrap();
        bare.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(DEADLINE, "head", async {
            while !answer.windows(6).any(|window| window == b"retry:") {
                assert_ne!(bare.read_buf(&mut answer).await.unwrap(), 0);
            }
        })
        .await;

        origin.emit(Emission::event("1", "", "one"));
        within(DEADLINE, "end", bare.read_to_end(&mut answer)).await.unwrap();

        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(version), "{answer}");
        assert_eq!(answer.contains("transfer-encoding: chunked"), is_chunked, "{answer}");
        assert!(answer.contains("id: 1\ndata: one\n\n"), "{answer}");
        assert_eq!(answer.ends_with("0\r\n\r\n"), is_chunked, "{answer}");
    }
}

#[tokio::test]
async fn a_head_request_opens_nothing() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut connection = client.connect().await.unwrap();
        for _ in 0..3 {
            let mut head = connection.try_request("HEAD", "/a", &[]).await.unwrap();
            assert_eq!((head.status.as_u16(), head.header("content-type")), (200, "text/event-stream"));
            assert_eq!(head.header("cache-control"), "no-cache, no-store, no-transform");
            assert_eq!(head.header("x-accel-buffering"), "no");
            assert_eq!(head.text().await, "");
        }
    }
    // A GET does open a stream. The HEAD requests before it would have been recorded earlier.
    let _client = Client::http1(gateway.address()).subscribe("/b", &[]).await;
    eventually(DEADLINE, || async { origin.requests().len() == 1 }).await;
    assert_eq!(origin.requests()[0].target, "/b");
}

#[tokio::test]
async fn a_finite_read_is_answered_after_a_half_close() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream(),
        _ => Answer::waiting(),
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut reader = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit(THREE);
    reader.next_events(3).await;
    let asks = async |target: &str, version: &str| {
        let mut bare = Client::http1(gateway.address()).dial().await.unwrap();
        let head = format!("GET {target} HTTP/{version}\r\nhost: x\r\n\r\n");
        bare.write_all(head.as_bytes()).await.unwrap();
        // The FIN arrives together with the request or right after it.
        bare.shutdown().await.unwrap();
        bare
    };
    let read_on = async |mut bare: Box<dyn crate::support::transport::Transport>| {
        let mut answer = String::new();
        within(DEADLINE, "end", bare.read_to_string(&mut answer)).await.unwrap();
        answer
    };

    for version in ["1.1", "1.0"].repeat(10) {
        for target in ["/a?follow=false", "/a?limit=2&last_event_id=1"] {
            let answer = read_on(asks(target, version).await).await;
            assert!(answer.contains(" 200 OK\r\n") && answer.contains("data: 3\n\n"), "{target} {version}: {answer}");
        }
    }
    for (path, version) in [("/b", "1.1"), ("/c", "1.0")] {
        let asked = origin.requests().len();
        let waiting = asks(&format!("{path}?limit=1"), version).await;
        origin.wait_requests(asked + 1).await;
        origin.emit("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 9\ndata: 9\n\n");
        let answer = read_on(waiting).await;
        assert!(answer.contains("data: 9\n\n"), "{path}: {answer}");
    }
}
