//! Real producers behind the gateway, unchanged: one conformance run, and a table of their properties.
//!
//! Always true: each property of a producer is also observed on a direct connection to it in the same run.
//! `compatibility.rs` compares `docs/compatibility.md` with this table.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::event_source::Event;
use crate::support::figures::{metric, wait_metric};
use crate::support::locked::Locked;
use crate::support::producer::{self, Producer, Started};
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

/// A producer with its properties and its recommended settings.
pub struct ProducerProfile {
    /// Its name in the document's table.
    pub name: &'static str,
    start: fn(SocketAddr) -> Started,
    path: &'static str,
    /// The packages that it uses; empty where they are the machine's own.
    pub packages: &'static [Locked],
    /// Lines of `[[routes]]` and of `[routes.replay]`.
    pub route: &'static str,
    pub replay: &'static str,
    pub framing: Framing,
    pub properties: &'static [Property],
}

/// The framing of a producer's response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    Length,
    Close,
}

/// A property of a producer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    Ids,
    /// The producer resumes after a `Last-Event-ID`.
    Resumes,
    /// The events are those of the shared feed. Without it they are the tokens of a language model.
    Feed,
    Comments,
    Retry,
    /// Lines end with CR LF.
    CrLf,
    /// The stream ends after its last event.
    Ends,
}

use Property::{Comments, CrLf, Ends, Feed, Ids, Resumes, Retry};

const PYTHON: &str = "tests/producers/requirements.txt";

pub const EXPRESS: ProducerProfile = ProducerProfile {
    name: "Express",
    start: producer::express,
    path: "/events",
    packages: &[Locked { file: "tests/express/package-lock.json", name: "express" }],
    route: "",
    replay: "",
    framing: Framing::Chunked,
    properties: &[Ids, Resumes, Feed, Comments, Retry],
};

pub const FASTAPI: ProducerProfile = ProducerProfile {
    name: "FastAPI, sse-starlette, uvicorn",
    start: producer::fastapi,
    path: "/events",
    packages: &[
        Locked { file: PYTHON, name: "fastapi" },
        Locked { file: PYTHON, name: "sse-starlette" },
        Locked { file: PYTHON, name: "uvicorn" },
    ],
    route: "",
    replay: "",
    framing: Framing::Chunked,
    properties: &[Ids, Resumes, Feed, Comments, Retry, CrLf],
};

pub const AXUM: ProducerProfile = ProducerProfile {
    name: "axum",
    start: producer::axum,
    path: "/events",
    packages: &[Locked { file: "tests/producers/axum/Cargo.lock", name: "axum" }],
    route: "",
    replay: "",
    framing: Framing::Chunked,
    properties: &[Ids, Resumes, Feed, Comments, Retry],
};

pub const FLASK: ProducerProfile = ProducerProfile {
    name: "Flask",
    start: producer::flask,
    path: "/events",
    packages: &[Locked { file: PYTHON, name: "Flask" }],
    route: "",
    replay: "ids = \"fill\"",
    framing: Framing::Chunked,
    properties: &[Feed, Comments, Retry],
};

pub const GUNICORN: ProducerProfile = ProducerProfile {
    name: "Flask on gunicorn",
    packages: &[Locked { file: PYTHON, name: "Flask" }, Locked { file: PYTHON, name: "gunicorn" }],
    start: producer::flask_on_gunicorn,
    ..FLASK
};

pub const WAITRESS: ProducerProfile = ProducerProfile {
    name: "Flask on waitress",
    packages: &[Locked { file: PYTHON, name: "Flask" }, Locked { file: PYTHON, name: "waitress" }],
    start: producer::flask_on_waitress,
    ..FLASK
};

pub const RAW_SOCKET: ProducerProfile = ProducerProfile {
    name: "a socket in Python",
    start: producer::raw_socket,
    path: "/events",
    packages: &[],
    route: "",
    replay: "ids = \"fill\"",
    framing: Framing::Close,
    properties: &[Feed, Comments, Retry],
};

pub const NGINX: ProducerProfile = ProducerProfile {
    name: "a file behind nginx",
    start: producer::nginx,
    path: "/events.sse",
    packages: &[],
    route: "on_end = \"complete\"",
    replay: "start = \"oldest\"",
    framing: Framing::Length,
    properties: &[Ids, Feed, Comments, Retry, Ends],
};

pub const TOKENS: ProducerProfile = ProducerProfile {
    name: "a language model's tokens",
    start: producer::tokens,
    path: "/events",
    packages: &[],
    route: "on_end = \"complete\"",
    replay: "ids = \"fill\"\nstart = \"oldest\"",
    framing: Framing::Chunked,
    properties: &[Ends],
};

pub const ALL: [&ProducerProfile; 9] =
    [&EXPRESS, &FASTAPI, &FLASK, &GUNICORN, &WAITRESS, &RAW_SOCKET, &AXUM, &NGINX, &TOKENS];

#[tokio::test]
async fn express_is_passed_through_unchanged_and_resumed() {
    assert_conforms(&EXPRESS).await;
}

#[tokio::test]
async fn fastapi_with_sse_starlette_is_passed_through_unchanged_and_resumed() {
    assert_conforms(&FASTAPI).await;
}

#[tokio::test]
async fn axum_is_passed_through_unchanged_and_resumed() {
    assert_conforms(&AXUM).await;
}

#[tokio::test]
async fn flask_is_passed_through_unchanged_and_its_clients_get_ids() {
    assert_conforms(&FLASK).await;
}

#[tokio::test]
async fn flask_on_gunicorn_is_passed_through_unchanged_and_its_clients_get_ids() {
    assert_conforms(&GUNICORN).await;
}

#[tokio::test]
async fn flask_on_waitress_is_passed_through_unchanged_and_its_clients_get_ids() {
    assert_conforms(&WAITRESS).await;
}

#[tokio::test]
async fn a_bare_socket_is_passed_through_unchanged_and_its_clients_get_ids() {
    assert_conforms(&RAW_SOCKET).await;
}

#[tokio::test]
async fn a_file_behind_nginx_is_read_once_and_replayed_to_its_end() {
    assert_conforms(&NGINX).await;
}

#[tokio::test]
async fn the_tokens_of_a_language_model_are_produced_once_and_replayed_to_their_end() {
    assert_conforms(&TOKENS).await;
}

impl ProducerProfile {
    pub fn has(&self, property: Property) -> bool {
        self.properties.contains(&property)
    }
}

/// The number of events that are compared.
const COMPARED: usize = 8;

async fn assert_conforms(profile: &ProducerProfile) {
    let mut producer = Producer::start(profile.start).await;
    let direct = check_properties(profile, &producer).await;
    let gateway = gateway_of(profile, &producer).await;
    let mut clients = Vec::new();
    for client in both_protocols(&gateway, None) {
        clients.push(client.subscribe(profile.path, &[]).await);
    }

    let mut third = String::new();
    for client in &mut clients {
        let events = client.next_events(COMPARED).await;
        assert_eq!(without_ids(&events), without_ids(&direct));
        assert!(events.windows(2).all(|pair| pair[0].last_event_id != pair[1].last_event_id), "{events:?}");
        if profile.has(Ids) {
            assert_eq!(events, direct);
        }
        if profile.has(Retry) {
            assert!(client.retries().contains(&Duration::from_millis(100)), "{:?}", client.retries());
        }
        third.clone_from(&events[2].last_event_id);
    }
    let mut resumed = Client::http1(gateway.address()).subscribe(profile.path, &[("last-event-id", &third)]).await;
    assert!(resumed.header("rillgate-resume").starts_with("resumed;missed="), "{:?}", resumed.headers);
    assert_eq!(without_ids(&resumed.next_events(COMPARED - 3).await), without_ids(&direct[3..]));
    assert_eq!(metric(&gateway, "upstream_connects_total", &[]).await, 1.0);

    if profile.has(Ends) {
        assert_complete_stream_is_replayed(profile, &producer, &gateway, &mut clients[0]).await;
        return;
    }
    producer.kill().await;
    producer.start_again().await;
    for client in &mut clients {
        if profile.has(Resumes) {
            assert_resumes(&gateway, client).await;
        } else {
            assert_starts_again(client).await;
        }
    }
}

/// Reads the first events on a direct connection, checks the properties, and returns the events.
async fn check_properties(profile: &ProducerProfile, producer: &Producer) -> Vec<Event> {
    let mut direct = Client::http1(producer.address()).subscribe(profile.path, &[]).await;
    let events = direct.next_events(COMPARED).await;
    let text = direct.read_bytes(direct.total_bytes(), DEADLINE).await;
    let framing = match (direct.header("transfer-encoding"), direct.header("content-length")) {
        ("chunked", "") => Framing::Chunked,
        ("", "") => Framing::Close,
        _ => Framing::Length,
    };
    assert_eq!(framing, profile.framing);
    assert_eq!(direct.header("content-encoding"), "");
    assert_eq!(text.contains(&b'\r'), profile.has(CrLf));
    assert_eq!(direct.comments().iter().any(|comment| comment == " hello"), profile.has(Comments));
    assert_eq!(direct.retries() == [Duration::from_millis(100)], profile.has(Retry));
    for (number, event) in (1_u64..).zip(&events) {
        assert_eq!(event.last_event_id, if profile.has(Ids) { number.to_string() } else { String::new() });
        let data = || serde_json::from_str::<Value>(&event.data).unwrap();
        match number {
            _ if !profile.has(Feed) => assert!(data()["token"].is_string()),
            1 => {
                assert_eq!(event.kind, "price");
                assert_eq!(data(), json!({ "symbol": "EURUSD", "price": 1.0821, "currency": "€" }));
            }
            2 => assert_eq!((event.kind.as_str(), event.data.as_str()), ("message", "first line\nsecond line")),
            _ => assert_eq!((event.kind.as_str(), data()), ("tick", json!({ "number": number }))),
        }
    }
    let last = [("last-event-id", "2")];
    let again = Client::http1(producer.address()).subscribe(profile.path, &last).await.next_event(DEADLINE).await;
    assert_eq!(again == events[2], profile.has(Resumes), "{again:?}");
    events
}

/// Starts a gateway with the recommended settings, whose clients read the log from its beginning.
async fn gateway_of(profile: &ProducerProfile, producer: &Producer) -> Rillgate {
    let start = if profile.replay.contains("start") { "" } else { "start = \"oldest\"" };
    Setup::for_origin(&producer.url())
        .upstream("backoff = { initial = \"50ms\", max = \"200ms\" }")
        .route(profile.route)
        .replay(profile.replay)
        .replay(start)
        .start()
        .await
}

async fn assert_complete_stream_is_replayed(
    profile: &ProducerProfile,
    producer: &Producer,
    gateway: &Rillgate,
    client: &mut Subscription,
) {
    let rest = client.expect_end(DEADLINE).await;
    producer.kill().await;

    for client in both_protocols(gateway, None) {
        let mut late = client.subscribe(profile.path, &[]).await;
        let events = late.expect_end(DEADLINE).await;
        assert_eq!(events[COMPARED..], rest);
        let last = events.last().unwrap().last_event_id.clone();
        assert_eq!(client.subscribe(profile.path, &[("last-event-id", &last)]).await.status.as_u16(), 204);
    }
    assert_eq!(metric(gateway, "upstream_connects_total", &[]).await, 1.0);
}

/// Checks that after a restart no event is missing and none is repeated. Nothing proves to the gateway that the ids have
/// no hole, so it reports a gap.
async fn assert_resumes(gateway: &Rillgate, client: &mut Subscription) {
    wait_metric(gateway, "upstream_connects_total", &["result=\"ok\""], 2.0).await;
    let produced = metric(gateway, "upstream_events_total", &[]).await as usize;

    let events = client.next_events(produced + 5 - COMPARED).await;

    for (number, event) in (COMPARED + 1..).zip(&events) {
        assert_eq!(event.last_event_id, number.to_string());
        assert_eq!(serde_json::from_str::<Value>(&event.data).unwrap(), json!({ "number": number }));
    }
    client.next_comment("rillgate-resume: gap;reason=upstream", DEADLINE).await;
}

/// Checks that clients stay connected while the producer starts from the beginning, and that they are told of a gap.
async fn assert_starts_again(client: &mut Subscription) {
    while client.next_event(DEADLINE).await.kind != "price" {}

    assert_eq!(client.next_event(DEADLINE).await.data, "first line\nsecond line");
    client.next_comment("rillgate-resume: gap;reason=upstream", DEADLINE).await;
}

fn without_ids(events: &[Event]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect()
}
