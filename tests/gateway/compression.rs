//! Responses in a content coding. The client decodes while bytes arrive, so each event that it gets can be decoded at
//! once, and a clean end has a valid trailer.

use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::figures::metric;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually, within};

/// Both codings, with contexts that are short enough to see several of them.
const COMPRESSED: &str = "[routes.delivery]\ncompression = [\"zstd\", \"gzip\"]\ncompression_window = { events = 4 }\n";

const CODINGS: [&str; 3] = ["identity", "gzip", "zstd"];

fn tick(number: u64) -> String {
    format!("id: {number}\ndata: {{\"symbol\":\"ACME\",\"price\":{},\"volume\":1200}}\n\n", number * 7)
}

fn data(number: u64) -> String {
    format!("{{\"symbol\":\"ACME\",\"price\":{},\"volume\":1200}}", number * 7)
}

async fn start(origin: &Origin, route: &str) -> Rillgate {
    Rillgate::start(&format!("[admin]\naddress = \"127.0.0.1:0\"\n{}", plain(&origin.url(), route))).await
}

async fn subscribe(client: &Client, coding: &str, id: &str) -> Subscription {
    let mut headers = vec![("accept-encoding", coding)];
    if !id.is_empty() {
        headers.push(("last-event-id", id));
    }
    let response = client.subscribe("/a", &headers).await;
    assert_eq!(response.status.as_u16(), 200);
    assert_eq!(response.header("content-encoding"), if coding == "identity" { "" } else { coding });
    assert_eq!(response.header("vary"), "accept-encoding");
    response
}

#[tokio::test]
async fn each_event_can_be_decoded_as_soon_as_it_arrives_whenever_the_client_came() {
    let origin = Origin::start().await;
    let gateway = start(&origin, COMPRESSED).await;
    let clients = [Client::http1(gateway.address()), Client::http2(gateway.address())];
    let mut readers = Vec::new();

    for number in 0..12 {
        // New clients come in the middle of each context.
        for (client, coding) in clients.iter().flat_map(|client| CODINGS.map(|coding| (client, coding))) {
            if number % 3 == 0 {
                readers.push(subscribe(client, coding, "").await);
            }
        }
        origin.wait_open(1).await;
        origin.emit(&*tick(number));
        for reader in &mut readers {
            assert_eq!(reader.next_event(DEADLINE).await.data, data(number));
        }
    }
}

#[tokio::test]
async fn a_client_resumes_in_a_coding_and_is_told_its_verdict() {
    for is_http2 in [false, true] {
        let origin = Origin::start().await;
        let gateway = start(&origin, COMPRESSED).await;
        let client = if is_http2 { Client::http2(gateway.address()) } else { Client::http1(gateway.address()) };
        let mut first = client.subscribe("/a", &[]).await;
        origin.wait_open(1).await;
        origin.emit_together((0..30).map(|number| Emission::from(tick(number))));
        first.next_events(30).await;

        for coding in CODINGS {
            for from in [0, 3, 17, 29] {
                let mut late = subscribe(&client, coding, &from.to_string()).await;
                late.next_comment(&format!("resumed;missed={}", 29 - from), DEADLINE).await;
                for number in from + 1..30 {
                    assert_eq!(late.next_event(DEADLINE).await.data, data(number), "{coding} after {from}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_complete_stream_ends_with_a_valid_trailer_and_fewer_bytes() {
    let all: String = (0..200).map(tick).collect();
    let origin = Origin::start_with(move |_| Answer::stream().then(all.clone()).then_cut(Cut::End)).await;
    let route = format!("on_end = \"complete\"\n[routes.replay]\nstart = \"oldest\"\n{COMPRESSED}");
    let gateway = start(&origin, &route.replace("events = 4", "events = 64")).await;
    let mut received = 0;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        for target in ["/a", "/a?follow=false", "/a?limit=200"] {
            let mut bytes = Vec::new();
            for coding in CODINGS {
                let mut reader = client.subscribe(target, &[("accept-encoding", coding)]).await;
                let events = reader.expect_end(DEADLINE).await;
                assert_eq!(events.len(), 200, "{coding} {target}");
                assert!((0..).zip(&events).all(|(number, event)| event.data == data(number)), "{coding} {target}");
                bytes.push(reader.total_bytes());
            }
            received += bytes.iter().sum::<usize>();
            let [identity, gzip, zstd] = bytes[..] else { unreachable!("three codings") };
            assert!(gzip * 3 < identity && zstd * 3 < identity, "{target}: {bytes:?}");
        }
    }
    let saved = metric(&gateway, "bytes_saved_total", &[r#"coding="gzip""#]).await;
    assert!(saved > 0.0);
    eventually(DEADLINE, || async { metric(&gateway, "bytes_sent_total", &[]).await == received as f64 }).await;
}

#[tokio::test]
async fn heartbeats_and_farewells_can_be_decoded_too() {
    let origin = Origin::start().await;
    let keys = "heartbeat = \"100ms\"\nmax_age = \"1s\"\n";
    let gateway = start(&origin, &format!("{COMPRESSED}{keys}")).await;
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        for coding in CODINGS {
            let mut reader = subscribe(&client, coding, "").await;
            origin.wait_open(1).await;
            reader.next_comment("", DEADLINE).await;
            let before = reader.total_bytes();
            origin.emit(&*tick(1));
            reader.next_event(DEADLINE).await;
            // In a context a heartbeat has no content, but it has bytes.
            let after = reader.total_bytes();
            reader.read_more(DEADLINE).await;
            assert!(before < after && after < reader.total_bytes());
            origin.emit(&*tick(2));
            assert_eq!(reader.next_event(DEADLINE).await.data, data(2));

            assert!(reader.expect_end(DEADLINE).await.is_empty());

            assert_eq!(reader.retries().len(), 2, "{coding}: the last reconnection time");
        }
    }
}

#[tokio::test]
async fn a_lagging_client_gets_its_notice_and_goes_on() {
    let route = format!("[routes.replay]\nevents = 5\n{COMPRESSED}lagged = \"skip\"\n");
    for coding in CODINGS {
        let origin = Origin::start().await;
        let gateway = start(&origin, &route).await;
        let client = Client::http1(gateway.address()).receive_buffer(4096);
        let mut reader = subscribe(&client, coding, "").await;
        origin.wait_open(1).await;
        let noise = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..400_000).map(|_| random.alphanumeric()).collect::<String>()
        };
        for number in 0..40 {
            origin.emit(format!("id: {number}\ndata: {}\n\n", noise(number)));
        }
        wait_received(&gateway, 40.0).await;

        reader.next_comment("gap;reason=lagged", DEADLINE).await;
        let last = loop {
            let event = reader.next_event(DEADLINE).await;
            if event.last_event_id == "39" {
                break event;
            }
        };

        assert_eq!(last.data, noise(39), "{coding}");
    }
}

async fn wait_received(gateway: &Rillgate, at_least: f64) {
    eventually(DEADLINE, || async { metric(gateway, "upstream_events_total", &[]).await >= at_least }).await;
}

#[tokio::test]
async fn a_route_without_compression_sends_none() {
    let origin = Origin::start().await;
    let gateway = start(&origin, "").await;

    let response = Client::http1(gateway.address()).subscribe("/a", &[("accept-encoding", "gzip, zstd")]).await;

    assert_eq!((response.header("content-encoding"), response.header("vary")), ("", ""));
}

#[tokio::test]
async fn curl_decodes_each_event_as_soon_as_it_arrives() {
    let origin = Origin::start().await;
    let gateway = start(&origin, COMPRESSED).await;
    let mut curl = Command::new("curl")
        .args(["--no-buffer", "--silent", "--compressed", &format!("http://{}/a", gateway.address())])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed");
    let mut output = curl.stdout.take().expect("a pipe");
    origin.wait_open(1).await;
    let mut text = String::new();

    for number in 0..12 {
        origin.emit(&*tick(number));
        within(DEADLINE, "the event", async {
            while !text.contains(&data(number)) {
                let mut bytes = [0; 4096];
                let count = output.read(&mut bytes).await.expect("output");
                assert!(count > 0, "curl ended: {text}");
                text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
            }
        })
        .await;
    }
    assert!(metric(&gateway, "bytes_saved_total", &[]).await > 0.0);
}

#[tokio::test]
async fn a_context_begins_anew_after_its_time() {
    let origin = Origin::start().await;
    let keys = COMPRESSED.replace("{ events = 4 }", "{ events = 1000, time = \"100ms\" }");
    let gateway = start(&origin, &keys).await;
    let client = Client::http2(gateway.address());
    let mut early = subscribe(&client, "gzip", "").await;
    origin.wait_open(1).await;
    origin.emit(&*tick(0));
    early.next_event(DEADLINE).await;
    let mut late = subscribe(&client, "gzip", "").await;

    // Until then the client that came late gets each event alone, or the first of a context.
    let shares_a_context = async {
        let mut alone = None;
        for number in 1.. {
            let before = late.total_bytes();
            origin.emit(&*tick(number));
            assert_eq!(early.next_event(DEADLINE).await.data, data(number));
            assert_eq!(late.next_event(DEADLINE).await.data, data(number));
            let bytes = late.total_bytes() - before;
            if bytes * 2 < *alone.get_or_insert(bytes) {
                break;
            }
        }
    };
    within(DEADLINE, "an event that refers to the one before", shares_a_context).await;
}
