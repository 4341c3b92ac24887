//! The list of streams with parameters, and snapshots of the status page with the same ones.

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{DEADLINE, Port, open_stream, snapshot};

async fn list(port: &Port, query: &str) -> Value {
    let (status, _, body) = port.get(&format!("/streams{query}")).await;
    assert_eq!(status, StatusCode::OK, "{query}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn streams_are_chosen_by_parameters_and_all_are_counted() {
    let port = Port::open();
    port.stream.connected().await;
    let counts = async |query: &str| {
        let body = list(&port, query).await;
        (body["streams"].as_array().map(Vec::len), body["matching"].as_u64(), body["total"].as_u64())
    };

    assert_eq!(counts("").await, (Some(1), Some(1), Some(1)));
    assert_eq!(
        counts("?route=prices&state=live&q=eurusd&sort=lag&order=asc&limit=1").await,
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(counts("?state=stuck").await, (Some(0), Some(0), Some(1)));
    assert_eq!(counts("?q=GBP").await, (Some(0), Some(0), Some(1)));
    let stream = &list(&port, "?route=prices").await["streams"][0];
    assert_eq!((&stream["behind_events"], &stream["reason"]), (&json!(0), &Value::Null), "{stream}");
}

#[tokio::test]
async fn a_parameter_that_is_unknown_or_invalid_is_refused_with_what_is_expected() {
    let port = Port::open();

    for path in ["/streams", "/events"] {
        for (query, expected) in [
            ("limit=0", "limit: expected a whole number from 1 to 1000"),
            ("state=gone", "state: expected one of opening, live, retrying, complete, stuck, incomplete"),
            ("filter=x", "unknown parameter: expected sort, order, limit, route, state or q"),
        ] {
            let (status, headers, body) = port.get(&format!("{path}?{query}")).await;

            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}?{query}");
            assert_eq!(headers["content-type"], "application/problem+json");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["detail"], expected, "{path}?{query}");
        }
    }
}

#[tokio::test]
async fn each_viewer_gets_the_streams_that_it_asks_for_and_the_past() {
    let port = Port::open();
    let (mut all, mut stuck) = (port.events("").await, port.events("?state=stuck").await);

    let (first, other) = (snapshot(&mut all).await, snapshot(&mut stuck).await);

    assert_eq!(first["streams"][0]["key"], open_stream::KEY);
    assert_eq!((&first["streams_matching"], &first["streams_total"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&other["streams"], &other["streams_matching"], &other["streams_total"]),
        (&json!([]), &json!(0), &json!(1))
    );
    assert_eq!(first["slowest"], json!([]));
    let past = async {
        loop {
            let history = snapshot(&mut all).await["history"].clone();
            if history["subscribers"].as_array().is_some_and(|samples| !samples.is_empty()) {
                return history;
            }
        }
    };
    let history = timeout(DEADLINE, past).await.unwrap();
    let members = ["subscribers", "streams", "upstream_events", "events_delivered", "bytes_sent"];
    assert!(
        members.iter().all(|member| history[member].as_array().is_some_and(|samples| samples.len() == 1)),
        "{history}"
    );
    assert!(stuck.frame().await.is_some(), "the other viewer goes on");
}
