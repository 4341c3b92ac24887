//! Answers that are no event stream.

use http::StatusCode;

use crate::fixture::{PROTOCOLS, ask, chat, data, producer_behind_gateway};
use crate::support::client::Client;

#[tokio::test]
async fn an_answer_that_is_no_event_stream_is_passed_on_as_it_is_and_forgotten() {
    for protocol in PROTOCOLS {
        let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
        let fields = [("content-type", "application/json; charset=utf-8"), ("retry-after", "7")];
        producer.answer(429, &fields, Some("{\"error\":\"slow down\"}"));
        let client = Client::new(protocol, gateway.address());

        let answer = ask(&client, "alice", "{}", &[]).await;

        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        assert_eq!(answer.header("retry-after"), "7");
        assert_eq!(answer.whole().await, "{\"error\":\"slow down\"}");
        let again = ask(&client, "alice", "{}", &[]).await;
        assert_eq!(again.whole().await, "{\"error\":\"slow down\"}");
        assert_eq!(producer.asked().len(), 2);
    }
}

#[tokio::test]
async fn everyone_who_waits_gets_the_answer() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    producer.answer(200, &[("content-type", "application/json")], None);
    let client = Client::http2(gateway.address());
    let end = async {
        producer.wait_asked(1).await;
        producer.send("{\"a\":");
        producer.send("1}");
        producer.end();
    };

    let (one, other, ()) = tokio::join!(ask(&client, "alice", "{}", &[]), ask(&client, "alice", "{}", &[]), end);

    assert_eq!((one.status, one.whole().await), (StatusCode::OK, "{\"a\":1}".to_owned()));
    assert_eq!(other.whole().await, "{\"a\":1}");
}

#[tokio::test]
async fn a_late_answer_is_told_in_an_event() {
    let delivery = "[routes.delivery]\nanswer_within = \"50ms\"\nwhen_down = \"hold\"";
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", delivery)).await;
    producer.answer(400, &[("content-type", "application/json")], None);
    let client = Client::http1(gateway.address());

    let reading = ask(&client, "alice", "{}", &[]).await;
    assert_eq!(reading.header("rillgate-resume"), "pending");
    producer.send("{\"error\":1}");
    producer.end();

    let text = reading.whole().await;
    assert!(text.contains("event: rillgate.error"), "{text}");
    let told: serde_json::Value = serde_json::from_str(data(&text)[0]).unwrap();
    let expected = serde_json::json!({ "status": 400, "content_type": "application/json", "body": "{\"error\":1}" });
    assert_eq!(told, expected);
}
