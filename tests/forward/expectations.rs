//! `Expect: 100-continue`, and the informational responses of an application.

use crate::fixture::{PROTOCOLS, config, everything, get, site_behind_gateway, start};
use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::raw::{Raw, status};
use crate::support::script::Answer;
use crate::support::wait::DEADLINE;

fn post(fields: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_and_then_its_answer() {
    let (_site, gateway) = site_behind_gateway("").await;
    let mut raw = Raw::dial(&Client::http1(gateway.address())).await;

    raw.send(post("expect: 100-Continue\r\ncontent-length: 5").as_bytes()).await;

    assert!(raw.read_until("HTTP/1.1 100 Continue\r\n\r\n", DEADLINE).await, "{}", raw.text());
    assert!(!raw.text().contains("200"), "{}", raw.text());
    raw.send(b"hello").await;
    assert!(raw.read_until("\"length\":5", DEADLINE).await, "{}", raw.text());
    assert!(raw.text().contains("HTTP/1.1 200 OK\r\n") && !raw.text().contains("\"expect\""), "{}", raw.text());
}

#[tokio::test]
async fn a_refusal_of_the_application_reaches_a_client_that_waits() {
    for refusal in [413, 417] {
        let head = format!("HTTP/1.1 {refusal} No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        let origin = Origin::start_with(move |_| Answer::raw(head.clone())).await;
        let gateway = start(&config(&origin.url(), &everything(""))).await;
        let mut raw = Raw::dial(&Client::http1(gateway.address())).await;

        raw.send(post("expect: 100-continue\r\ncontent-length: 500000").as_bytes()).await;

        assert!(raw.read_until(&format!("HTTP/1.1 {refusal} "), DEADLINE).await, "{}", raw.text());
        assert!(raw.read_until("\r\n\r\nno", DEADLINE).await, "{}", raw.text());
    }
}

#[tokio::test]
async fn the_gateway_refuses_before_the_body_is_sent() {
    let (site, gateway) = site_behind_gateway("body_bytes = \"1KiB\"").await;
    let client = Client::http1(gateway.address());

    for (fields, expected) in
        [("expect: 100-continue\r\ncontent-length: 2000", 413), ("expect: 200-ok\r\ncontent-length: 5", 417)]
    {
        let text = Raw::exchange(&client, post(fields).as_bytes()).await;
        assert_eq!(status(&text), expected, "{text}");
        assert!(!text.contains("100 Continue"), "{text}");
    }
    assert_eq!(site.stats().await["targets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn early_hints_stay_behind_and_the_answer_passes() {
    let (_site, gateway) = site_behind_gateway("").await;

    for protocol in PROTOCOLS {
        let answer = get(&Client::new(protocol, gateway.address()), "/hints", &[]).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"hinted"[..]), "{protocol:?}");
        assert_eq!(answer.header("link"), None);
    }
}
