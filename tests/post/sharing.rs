//! Requests that share one answer, while their clients come and go.

use http::{Method, StatusCode};

use crate::fixture::{
    PROTOCOLS, ask, bearer, chat, config, data, last_id, producer_behind_gateway, public_chat, request, send, start,
};
use crate::producer::Producer;
use crate::support::client::Client;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn equal_requests_share_one_answer_from_its_beginning() {
    for protocol in PROTOCOLS {
        let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
        let client = Client::new(protocol, gateway.address());
        let mut first = ask(&client, "alice", "{\"q\":1}", &[]).await;
        producer.emit("one");
        first.until("data: one").await;

        let mut second = ask(&client, "alice", "{\"q\":1}", &[]).await;
        producer.emit("two");
        producer.end();

        second.until("data: two").await;
        assert_eq!((first.status, first.url()), (StatusCode::OK, second.url()));
        assert_eq!(data(&first.whole().await), ["one", "two"]);
        assert_eq!(data(&second.whole().await), ["one", "two"]);
        let asked = producer.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!((&asked[0].method, &*asked[0].target, &*asked[0].body), (&Method::POST, "/chat", &b"{\"q\":1}"[..]));
        assert_eq!(asked[0].headers["content-type"], "application/json");
        assert!(asked[0].headers.get("authorization").is_none(), "the token is the gateway's: {asked:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_complete_is_answered_from_the_log() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let client = Client::http1(gateway.address());
    let first = ask(&client, "alice", "{}", &[]).await;
    producer.emit("whole");
    producer.end();
    assert_eq!(data(&first.whole().await), ["whole"]);

    let again = ask(&client, "alice", "{}", &[]).await;

    assert_eq!(data(&again.whole().await), ["whole"]);
    assert_eq!(producer.asked().len(), 1);
}

#[tokio::test]
async fn other_bodies_types_and_subjects_have_answers_of_their_own() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let client = Client::http2(gateway.address());

    let _alice = ask(&client, "alice", "{}", &[]).await;
    let _other_body = ask(&client, "alice", "{ }", &[]).await;
    let _other_accept = ask(&client, "alice", "{}", &[("accept", "text/event-stream")]).await;
    let _bob = ask(&client, "bob", "{}", &[]).await;

    assert_eq!(producer.asked().len(), 4);
}

#[tokio::test]
async fn a_page_that_is_reloaded_ten_times_shows_the_whole_answer_and_the_producer_is_asked_once() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let question = format!("{protocol:?}");
        for reload in 0..10 {
            let mut page = ask(&client, "alice", &question, &[]).await;
            producer.emit(&format!("{protocol:?} {reload}"));
            page.until(&format!("data: {protocol:?} {reload}")).await;
        }

        let page = ask(&client, "alice", &question, &[]).await;
        producer.end();

        let expected: Vec<_> = (0..10).map(|reload| format!("{protocol:?} {reload}")).collect();
        assert_eq!(data(&page.whole().await), expected);
    }
    assert_eq!(producer.asked().len(), 2);
}

#[tokio::test]
async fn an_equal_request_with_an_id_resumes_after_it() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let client = Client::http1(gateway.address());
    let mut first = ask(&client, "alice", "{}", &[]).await;
    producer.emit("one");
    let id = last_id(first.until("data: one").await).to_owned();
    drop(first);
    producer.emit("two");
    producer.end();

    let resumed = ask(&client, "alice", "{}", &[("last-event-id", &id)]).await;

    assert!(resumed.header("rillgate-resume").starts_with("resumed"));
    assert_eq!(data(&resumed.whole().await), ["two"]);
    assert_eq!(producer.asked().len(), 1);
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_stop_the_producer_until_the_linger_is_over() {
    for protocol in PROTOCOLS {
        let (producer, gateway) =
            producer_behind_gateway(&chat("key = \"body\"", "[routes.delivery]\nlinger = \"1s\"")).await;
        let client = Client::new(protocol, gateway.address());
        let mut reading = ask(&client, "alice", "{}", &[]).await;
        producer.emit("one");
        reading.until("data: one").await;

        let url = reading.url();
        drop(reading);
        let mut back = ask(&client, "alice", "{}", &[]).await;
        producer.emit("two");
        back.until("data: two").await;
        assert_eq!(producer.open(), 1, "the producer goes on");
        drop(back);

        eventually(DEADLINE, || async { producer.open() == 0 }).await;
        assert_eq!(producer.asked().len(), 1);
        let kept = request(&client, Method::GET, "alice", &url, &[]).await.whole().await;
        assert_eq!(data(&kept), ["one", "two"], "what there is of the answer is kept");
        let _new = ask(&client, "alice", "{}", &[]).await;
        assert_eq!(producer.asked().len(), 2, "a stopped answer is not the answer to a new request");
    }
}

#[tokio::test]
async fn a_field_that_is_sent_in_two_lines_goes_upstream_as_one() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let client = Client::http2(gateway.address());

    let _reading = ask(&client, "alice", "{}", &[("accept", "text/event-stream"), ("accept", "*/*")]).await;

    assert_eq!(producer.asked()[0].headers["accept"], "text/event-stream, */*");
}

#[tokio::test]
async fn a_header_names_the_request_and_another_body_under_it_is_refused() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"header:Idempotency-Key\"", "")).await;
    let client = Client::http1(gateway.address());
    let _first = ask(&client, "alice", "{}", &[("idempotency-key", "a")]).await;

    let same = ask(&client, "alice", "{}", &[("idempotency-key", "a")]).await;
    let other_body = ask(&client, "alice", "{ }", &[("idempotency-key", "a")]).await;
    let other_subject = ask(&client, "bob", "{ }", &[("idempotency-key", "a")]).await;
    let missing = ask(&client, "alice", "{}", &[]).await;

    assert_eq!((same.status, other_subject.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(other_body.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other_body.reason().await, "body_differs");
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(producer.asked().len(), 2);
}

#[tokio::test]
async fn each_request_has_an_answer_of_its_own_where_the_route_says_so() {
    let (producer, gateway) = producer_behind_gateway(&public_chat("key = \"each\"", "")).await;
    let client = Client::http1(gateway.address());

    let one = send(&client, Method::POST, "/chat", &[], "{}").await;
    let other = send(&client, Method::POST, "/chat", &[], "{}").await;

    assert_ne!(one.url(), other.url());
    assert_eq!(producer.asked().len(), 2);
}

#[tokio::test]
async fn a_credential_goes_upstream_only_where_the_route_lists_it_and_separates_answers() {
    let (producer, gateway) = producer_behind_gateway(&public_chat(
        "key = \"body\"\nacross_subjects = true\nforward_headers = [\"x-api-key\"]",
        "",
    ))
    .await;
    let client = Client::http1(gateway.address());

    let one = send(&client, Method::POST, "/chat", &[("x-api-key", "one"), ("x-other", "a")], "{}").await;
    let other = send(&client, Method::POST, "/chat", &[("x-api-key", "two")], "{}").await;
    let same = send(&client, Method::POST, "/chat", &[("x-api-key", "one"), ("x-other", "b")], "{}").await;
    let foreign = send(&client, Method::GET, &one.url(), &[("x-api-key", "two")], "").await;

    assert_eq!((one.url() == other.url(), one.url() == same.url()), (false, true));
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let asked = producer.asked();
    assert_eq!((asked.len(), &asked[0].headers["x-api-key"]), (2, &"one".parse().unwrap()));
    assert!(asked[0].headers.get("x-other").is_none());
}

#[tokio::test]
async fn a_thousand_clients_read_one_answer() {
    let limits = "[limits]\nsubscriptions_per_subject = 2000\nh2_streams = 1000\n";
    let (producer, gateway) = producer_behind_gateway(&format!("{limits}{}", chat("key = \"body\"", ""))).await;
    let clients = (0..20).map(|_| Client::http2(gateway.address()));
    let authorization = bearer("alice");
    let mut readers = tokio::task::JoinSet::new();
    for client in clients {
        let authorization = authorization.clone();
        readers.spawn(async move {
            let mut open = Vec::new();
            for _ in 0..50 {
                open.push(send(&client, Method::POST, "/chat", &[("authorization", &authorization)], "{}").await);
            }
            open
        });
    }
    let open: Vec<_> = readers.join_all().await.into_iter().flatten().collect();
    for word in 0..100 {
        producer.emit(&word.to_string());
    }
    producer.end();

    for reading in open {
        assert_eq!(data(&reading.whole().await).len(), 100);
    }
    assert_eq!(producer.asked().len(), 1);
}

#[tokio::test]
async fn an_upstream_over_http2_gets_the_body_too() {
    let producer = Producer::start().await;
    let gateway = start(&config(&producer.url(), "http2 = true", &chat("key = \"body\"", ""))).await;
    let question = "x".repeat(500_000);

    let reading = ask(&Client::http2(gateway.address()), "alice", &question, &[]).await;
    producer.emit("one");
    producer.end();

    assert_eq!(data(&reading.whole().await), ["one"]);
    assert_eq!(producer.asked()[0].body, question.as_bytes());
}
