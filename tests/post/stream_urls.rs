//! The URL of an answer: `GET` reads it, `DELETE` stops it.

use http::{Method, StatusCode};

use crate::fixture::{
    PROTOCOLS, ask, chat, config, data, last_id, producer_behind_gateway, public_chat, request, send, start,
};
use crate::producer::Producer;
use crate::support::client::Client;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn an_answer_is_read_at_its_url_from_the_beginning_or_after_an_id() {
    for protocol in PROTOCOLS {
        let (producer, gateway) = producer_behind_gateway(&chat("key = \"each\"", "")).await;
        let client = Client::new(protocol, gateway.address());
        let mut first = ask(&client, "alice", "{}", &[]).await;
        producer.emit("one");
        let id = last_id(first.until("data: one").await).to_owned();
        let url = first.url();
        drop(first);
        producer.emit("two");

        let mut whole = request(&client, Method::GET, "alice", &url, &[("accept", "text/event-stream")]).await;
        let mut rest = request(&client, Method::GET, "alice", &url, &[("last-event-id", &id)]).await;

        assert_eq!(data(whole.until("data: two").await), ["one", "two"]);
        assert_eq!(data(rest.until("data: two").await), ["two"]);
        producer.end();
        let id = last_id(&whole.whole().await).to_owned();
        let over = request(&client, Method::GET, "alice", &url, &[("last-event-id", &id)]).await;
        assert_eq!(over.status, StatusCode::NO_CONTENT);
        assert_eq!(producer.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_is_nobody_elses() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let client = Client::http1(gateway.address());
    let first = ask(&client, "alice", "{}", &[]).await;
    let url = first.url();

    let read = request(&client, Method::GET, "bob", &url, &[]).await;
    let stop = request(&client, Method::DELETE, "bob", &url, &[]).await;
    let nobody = send(&client, Method::GET, &url, &[], "").await;
    let unknown = request(&client, Method::GET, "alice", "/chat?rillgate-stream=unknown", &[]).await;
    let stop_unknown = request(&client, Method::DELETE, "alice", "/chat?rillgate-stream=unknown", &[]).await;

    assert_eq!((read.status, stop.status), (StatusCode::NOT_FOUND, StatusCode::FORBIDDEN));
    assert_eq!(stop.reason().await, "not_opener");
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!((unknown.status, stop_unknown.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(producer.open(), 1);
}

#[tokio::test]
async fn its_opener_stops_an_answer_and_the_producer() {
    for protocol in PROTOCOLS {
        let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
        let client = Client::new(protocol, gateway.address());
        let mut reading = ask(&client, "alice", "{}", &[]).await;
        producer.emit("one");
        let id = last_id(reading.until("data: one").await).to_owned();
        let url = reading.url();

        let stopped = request(&client, Method::DELETE, "alice", &url, &[]).await;

        assert_eq!(stopped.status, StatusCode::NO_CONTENT);
        assert_eq!(data(&reading.whole().await), ["one"], "the reader's response ends");
        eventually(DEADLINE, || async { producer.open() == 0 }).await;
        gateway.wait_line("reason=\"stopped\"", DEADLINE).await;
        let kept = request(&client, Method::GET, "alice", &url, &[]).await;
        assert_eq!(data(&kept.whole().await), ["one"]);
        let after = request(&client, Method::GET, "alice", &url, &[("last-event-id", &id)]).await;
        assert_eq!(after.status, StatusCode::NO_CONTENT);
        let _new = ask(&client, "alice", "{}", &[]).await;
        assert_eq!(producer.asked().len(), 2, "a stopped answer is not the answer to a new request");
    }
}

#[tokio::test]
async fn on_a_public_route_whoever_knows_an_answer_of_its_own_stops_it() {
    let each = producer_behind_gateway(&public_chat("key = \"each\"", "")).await;
    let shared = producer_behind_gateway(&public_chat("key = \"body\"\nacross_subjects = true", "")).await;
    for ((_producer, gateway), status) in [(each, StatusCode::NO_CONTENT), (shared, StatusCode::FORBIDDEN)] {
        let client = Client::http1(gateway.address());
        let reading = send(&client, Method::POST, "/chat", &[], "{}").await;

        let stopped = send(&client, Method::DELETE, &reading.url(), &[], "").await;

        assert_eq!(stopped.status, status);
    }
}

#[tokio::test]
async fn a_ticket_reads_an_answer() {
    let route = chat("key = \"each\"", "").replace("[routes.post]", "tickets = true\n[routes.post]");
    let (producer, gateway) = producer_behind_gateway(&route).await;
    let client = Client::http1(gateway.address());
    let first = ask(&client, "alice", "{}", &[]).await;

    let ticket = request(&client, Method::POST, "alice", &format!("{}&ticket", first.url()), &[]).await;
    let ticket: serde_json::Value = serde_json::from_str(&ticket.whole().await).unwrap();
    let mut reading = send(&client, Method::GET, ticket["url"].as_str().unwrap(), &[], "").await;
    producer.emit("one");

    assert_eq!(data(reading.until("data: one").await), ["one"]);
    assert_eq!(producer.asked().len(), 1);
}

#[tokio::test]
async fn what_was_told_before_a_restart_is_there_and_the_break_is_told() {
    let producer = Producer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("[store]\npath = \"{}\"\n", folder.path().display());
    let route = chat("key = \"body\"", "[routes.replay]\nstore = \"disk\"\n[routes.delivery]\nend = \"cut\"");
    let config = config(&producer.url(), "", &format!("{store}{route}"));
    let gateway = start(&config).await;
    let client = Client::http1(gateway.address());
    let mut first = ask(&client, "alice", "{}", &[]).await;
    producer.emit("one");
    let id = last_id(first.until("data: one").await).to_owned();
    let url = first.url();
    drop(first);

    gateway.signal("TERM");
    gateway.wait_exit(DEADLINE).await;
    let gateway = start(&config).await;
    let client = Client::http1(gateway.address());
    let whole = request(&client, Method::GET, "alice", &url, &[]).await.whole().await;
    let after = request(&client, Method::GET, "alice", &url, &[("last-event-id", &id)]).await;
    let bob = request(&client, Method::GET, "bob", &url, &[]).await;

    assert_eq!(data(&whole), ["one", "{\"status\":502,\"reason\":\"upstream_broken\"}"], "{whole}");
    assert_eq!(after.header("rillgate-resume"), "gap;reason=upstream");
    assert_eq!(bob.status, StatusCode::NOT_FOUND);
    assert_eq!(producer.asked().len(), 1);
}
