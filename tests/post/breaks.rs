//! Producers that break off, are away or never answer: the request is not repeated, and the break is told.

use http::{Method, StatusCode};

use crate::fixture::{PROTOCOLS, ask, chat, config, data, last_id, producer_behind_gateway, request, start};
use crate::producer::Producer;
use crate::support::client::Client;

#[tokio::test]
async fn an_answer_that_breaks_off_is_incomplete_and_never_asked_for_again() {
    for protocol in PROTOCOLS {
        let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
        let client = Client::new(protocol, gateway.address());
        let mut reading = ask(&client, "alice", "{}", &[]).await;
        producer.emit("one");
        let id = last_id(reading.until("data: one").await).to_owned();
        let url = reading.url();

        producer.break_off();

        let text = reading.whole().await;
        assert_eq!(data(&text), ["one", "{\"status\":502,\"reason\":\"upstream_broken\"}"]);
        assert!(text.contains("gap;reason=upstream"), "{text}");
        let resumed = ask(&client, "alice", "{}", &[("last-event-id", &id)]).await;
        assert_eq!(resumed.header("rillgate-resume"), "gap;reason=upstream");
        let kept = request(&client, Method::GET, "alice", &url, &[]).await.whole().await;
        assert_eq!(data(&kept), data(&text));
        assert_eq!(producer.asked().len(), 1);
        let new = ask(&client, "alice", "{}", &[]).await;
        assert_ne!(new.url(), url);
        assert_eq!(producer.asked().len(), 2, "a request without an id is a new one");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_once_where_the_route_says_so() {
    for protocol in PROTOCOLS {
        let route = chat("key = \"body\"", "[routes.delivery]\nend = \"cut\"");
        let (producer, gateway) = producer_behind_gateway(&route).await;
        let client = Client::new(protocol, gateway.address());
        let mut reading = ask(&client, "alice", "{}", &[]).await;
        producer.emit("one");
        let id = last_id(reading.until("data: one").await).to_owned();

        producer.break_off();

        // Node.js would take the cut for the end.
        assert!(reading.headers.get("connection").is_none());
        assert_eq!(data(&reading.cut().await), ["one", "{\"status\":502,\"reason\":\"upstream_broken\"}"]);
        let again = ask(&client, "alice", "{}", &[("last-event-id", &id)]).await.whole().await;
        assert_eq!(data(&again), ["{\"status\":502,\"reason\":\"upstream_broken\"}"]);
        assert_eq!(producer.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_producer_that_is_idempotent_is_asked_again() {
    let upstream = "backoff = { initial = \"10ms\", max = \"20ms\" }";
    let producer = Producer::start().await;
    let gateway = start(&config(&producer.url(), upstream, &chat("key = \"body\"\nretry = true", ""))).await;
    let client = Client::http1(gateway.address());
    let mut reading = ask(&client, "alice", "{}", &[]).await;
    producer.emit("one");
    reading.until("data: one").await;

    producer.break_off();
    producer.wait_asked(2).await;
    producer.emit("two");

    reading.until("data: two").await;
    assert_eq!(producer.asked()[0].body, producer.asked()[1].body);
}

#[tokio::test]
async fn a_second_address_is_asked_only_if_the_first_received_nothing() {
    let (first, second) = (Producer::start().await, Producer::start().await);
    first.answer(503, &[("content-type", "text/plain")], Some("busy"));
    let urls = format!("{}\", \"{}", first.url(), second.url());
    let gateway = start(&config(&urls, "", &chat("key = \"body\"", ""))).await;
    let away = format!("http://127.0.0.1:1\", \"{}", second.url());
    let with_one_away = start(&config(&away, "", &chat("key = \"body\"", ""))).await;

    let refused = ask(&Client::http1(gateway.address()), "alice", "{}", &[]).await;
    let answered = ask(&Client::http1(with_one_away.address()), "alice", "{}", &[]).await;

    assert_eq!((refused.status, answered.status), (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK));
    assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_producer_that_is_away_is_told_at_once() {
    let gateway = start(&config("http://127.0.0.1:1", "", &chat("key = \"body\"", ""))).await;

    let refused = ask(&Client::http1(gateway.address()), "alice", "{}", &[]).await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.reason().await, "upstream_unreachable");
}
