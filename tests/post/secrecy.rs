//! Bodies and credentials of clients: in no log at any level, no metric, no answer of the admin port, and not on disk, also
//! where something goes wrong.

use std::path::Path;

use http::Method;

use crate::fixture::{ask, bearer, chat, config, producer_behind_gateway, request, send, start};
use crate::producer::Producer;
use crate::support::client::{Client, Protocol};
use crate::support::raw::Raw;
use crate::support::server::Rillgate;
use crate::support::wait::DEADLINE;

const BODY: &str = "{\"prompt\":\"words-of-the-client\"}";
const SECRETS: [&str; 2] = ["words-of-the-client", "key-of-the-client"];
const CREDENTIAL: (&str, &str) = ("x-api-key", "key-of-the-client");
const FORWARDED: &str = "\nforward_headers = [\"x-api-key\"]";

/// Everything that the gateway tells its operator, at the level `trace`.
async fn told(gateway: &Rillgate) -> String {
    let admin = Client::http1(gateway.admin());
    let mut told = String::new();
    for path in ["/streams", "/metrics", "/config", "/"] {
        told.push_str(&send(&admin, Method::GET, path, &[], "").await.whole().await);
    }
    told + &gateway.log().join("\n")
}

async fn assert_untold(gateway: &Rillgate) {
    let told = told(gateway).await;
    assert!(told.contains("/chat"), "{told}");
    for secret in SECRETS {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn bodies_and_credentials_are_in_no_log_metric_or_admin_answer() {
    for upstream in ["", "http2 = true"] {
        let producer = Producer::start().await;
        let route = chat(&format!("key = \"body\"{FORWARDED}"), "");
        let gateway = start(&config(&producer.url(), upstream, &route)).await;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut reading = ask(&Client::new(protocol, gateway.address()), "alice", BODY, &[CREDENTIAL]).await;
            producer.emit("one");
            reading.until("data: one").await;
        }

        producer.break_off();
        gateway.wait_line("stream incomplete", DEADLINE).await;
        gateway.wait_line("DEBUG", DEADLINE).await;

        assert_untold(&gateway).await;
        assert!(producer.asked()[0].headers.contains_key("x-api-key"));
        assert_eq!(producer.asked()[0].body, BODY);
    }
}

#[tokio::test]
async fn nor_are_they_where_something_goes_wrong() {
    let post = format!("key = \"header:Idempotency-Key\"\nbody_bytes = \"1KiB\"\nbody_timeout = \"100ms\"{FORWARDED}");
    let (producer, gateway) = producer_behind_gateway(&chat(&post, "")).await;
    let away = start(&config("http://127.0.0.1:1", "", &chat(&format!("key = \"each\"{FORWARDED}"), ""))).await;
    let client = Client::http1(gateway.address());
    let key = ("idempotency-key", "1");
    let large = BODY.repeat(100);

    let _first = ask(&client, "alice", BODY, &[CREDENTIAL, key]).await;
    let differs = ask(&client, "alice", &BODY[1..], &[CREDENTIAL, key]).await;
    let unnamed = ask(&client, "alice", BODY, &[CREDENTIAL]).await;
    let too_large = ask(&client, "alice", &large, &[CREDENTIAL, key]).await;
    let twice = ask(&client, "alice", BODY, &[CREDENTIAL, CREDENTIAL, key]).await;
    let foreign = request(&client, Method::GET, "alice", "/chat?rillgate-stream=a", &[CREDENTIAL]).await;
    let unreached = ask(&Client::http1(away.address()), "alice", BODY, &[CREDENTIAL]).await;
    producer.answer(400, &[("content-type", "text/plain")], Some("no"));
    let refused = ask(&client, "alice", BODY, &[CREDENTIAL, ("idempotency-key", "2")]).await;
    let authorization = bearer("alice");
    let head =
        format!("POST /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\nidempotency-key: 3\r\n");
    for body in [format!("content-length: 1000\r\n\r\n{BODY}"), format!("transfer-encoding: chunked\r\n\r\n{BODY}\r\n")]
    {
        Raw::exchange(&client, format!("{head}x-api-key: key-of-the-client\r\n{body}").as_bytes()).await;
    }

    let statuses =
        [differs, unnamed, too_large, twice, foreign, unreached, refused].map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [422, 400, 413, 400, 404, 503, 400]);
    assert_untold(&gateway).await;
    assert_untold(&away).await;
}

#[tokio::test]
async fn the_disk_has_the_answer_and_nothing_of_the_request() {
    let producer = Producer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("[store]\npath = \"{}\"\n", folder.path().display());
    let route = chat(&format!("key = \"body\"{FORWARDED}"), "[routes.replay]\nstore = \"disk\"");
    let gateway = start(&config(&producer.url(), "", &format!("{store}{route}"))).await;
    let reading = ask(&Client::http1(gateway.address()), "alice", BODY, &[CREDENTIAL]).await;
    let url = reading.url();
    let name = url.split_once("rillgate-stream=").unwrap().1;
    producer.emit("words-of-the-producer");
    producer.end();
    reading.whole().await;

    gateway.signal("TERM");
    gateway.wait_exit(DEADLINE).await;

    let stored = stored(folder.path());
    let has = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("words-of-the-producer"));
    assert!(SECRETS.iter().chain([&name]).all(|secret| !has(secret)));
}

/// All bytes in a folder.
fn stored(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => bytes.extend(stored(&entry)),
            false => bytes.extend(std::fs::read(entry).unwrap()),
        }
    }
    bytes
}
