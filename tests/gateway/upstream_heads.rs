//! Response heads of an upstream that are accepted as an event stream: the gateway is as lenient as an event source,
//! but not more.

use crate::support::client::Client;
use crate::support::figures::admin;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Request};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const EVENT: &str = "id: 1\ndata: hello\n\n";
const STREAM: &str = "content-type: text/event-stream";

/// Starts a gateway and an origin that answers `/N` with the Nth list of field lines and one event.
async fn gateway(heads: &'static [&'static [&'static str]]) -> (Origin, Rillgate) {
    let origin = Origin::start_with(|request: &Request| {
        let fields = heads[request.target[1..].parse::<usize>().expect("the number of a head")].join("\r\n");
        let body = match fields.contains("transfer-encoding") {
            true => format!("{:x}\r\n{EVENT}\r\n", EVENT.len()),
            false => EVENT.to_owned(),
        };
        Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"))
    })
    .await;
    let gateway = Setup::for_origin(&origin.url()).replay("start = \"oldest\"").start().await;
    (origin, gateway)
}

#[tokio::test]
async fn an_identity_encoding_is_accepted_in_every_spelling() {
    let heads: &[&[&str]] = &[
        &[STREAM, "content-encoding: none"],
        &[STREAM, "content-encoding: "],
        &[STREAM, "content-encoding: identity"],
        &[STREAM, "content-encoding: IDENTITY"],
        &[STREAM, "content-encoding: identity", "content-encoding: none"],
        &[STREAM, "content-encoding: utf-8"],
        &[STREAM, "transfer-encoding: chunked"],
    ];
    let (_origin, gateway) = gateway(heads).await;
    let client = Client::http1(gateway.address());

    for (number, head) in heads.iter().enumerate() {
        let mut response = client.subscribe(&format!("/{number}?limit=1"), &[]).await;

        assert_eq!(response.status, 200, "{head:?}");
        assert_eq!(response.next_event(DEADLINE).await.data, "hello", "{head:?}");
    }
}

#[tokio::test]
async fn a_compressed_stream_is_502_and_the_log_names_the_coding() {
    let heads: &[&[&str]] = &[
        &[STREAM, "content-encoding: gzip"],
        &[STREAM, "content-encoding: identity", "content-encoding: Br"],
        &[STREAM, "content-encoding: none, zstd"],
        &[STREAM, "content-encoding: x-gzip"],
        &[STREAM, "content-encoding: dcz"],
        &[STREAM, "transfer-encoding: gzip, chunked"],
        &[STREAM, "transfer-encoding: deflate", "transfer-encoding: chunked"],
    ];
    let said = [
        "content-encoding: gzip",
        "content-encoding: br",
        "content-encoding: zstd",
        "content-encoding: x-gzip",
        "content-encoding: dcz",
        "transfer-encoding: gzip",
        "transfer-encoding: deflate",
    ];
    let (_origin, gateway) = gateway(heads).await;
    let client = Client::http1(gateway.address());

    for (number, (head, said)) in heads.iter().zip(said).enumerate() {
        assert_eq!(client.subscribe(&format!("/{number}"), &[]).await.status, 502, "{head:?}");
        gateway.wait_line(&format!("the upstream compressed its response ({said})"), DEADLINE).await;
    }
}

#[tokio::test]
async fn the_last_valid_content_type_counts() {
    let heads: &[&[&str]] = &[
        &["content-type: text/html", STREAM],
        &[STREAM, "content-type: "],
        &[STREAM, "content-type: */*"],
        &["content-type: text/plain, Text/Event-Stream;charset=utf-8"],
        &[STREAM, "content-type: text/html"],
        &["content-type: text/event-stream, application/json"],
    ];
    let (_origin, gateway) = gateway(heads).await;
    let client = Client::http1(gateway.address());

    for (number, head) in heads.iter().enumerate() {
        let status = if number < 4 { 200 } else { 502 };
        assert_eq!(client.subscribe(&format!("/{number}?limit=1"), &[]).await.status, status, "{head:?}");
    }
    gateway.wait_line(r#"the upstream's content type is "application/json", not text/event-stream"#, DEADLINE).await;
}

#[tokio::test]
async fn a_long_content_type_is_shortened_in_the_log_and_in_the_last_error() {
    let origin = Origin::start_with(|_: &Request| {
        let long = "a".repeat(60_000);
        Answer::raw(format!("HTTP/1.1 200 OK\r\ncontent-type: text/{long}\r\n\r\n"))
    })
    .await;
    let always = "[[routes]]\nname = \"prices\"\npath = \"/prices\"\nupstream = \"origin\"\nauth = \"public\"\nopen = \"always\"\n";
    let gateway = Setup::for_origin(&origin.url()).after(always).start().await;

    let line = gateway.wait_line("the upstream's content type is", DEADLINE).await;
    assert!(line.len() < 1000, "{} bytes", line.len());
    eventually(DEADLINE, || async { admin(&gateway, "/streams").await.1.contains("content type is") }).await;
    let (_, streams) = admin(&gateway, "/streams").await;
    assert!(streams.len() < 1000, "{} bytes", streams.len());
}
