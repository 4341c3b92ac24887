//! Real producers behind the gateway, unchanged: one conformance run, and a table of their properties.
//!
//! Always true: every statement about a producer was observed on a direct connection to it in the same run.
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

/// A producer, and its recommended settings.
pub struct Facts {
    /// Its name in the document's table.
    pub name: &'static str,
    start: fn(SocketAddr) -> Started,
    path: &'static str,
    /// None where the machine's own are used.
    pub packages: &'static [Locked],
    /// Lines of `[[routes]]` and of `[routes.replay]`.
    pub route: &'static str,
    pub replay: &'static str,
    pub framing: Framing,
    pub says: &'static [Says],
}

/// The framing that marks the end of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    Length,
    Close,
}

/// Observations of a producer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Ids,
    /// It goes on after a Last-Event-ID.
    Resumes,
    /// Two events with types, one of them with lines; else tokens and an end mark.
    Feed,
    Comments,
    Retry,
    /// Lines end with CR LF.
    CrLf,
    /// The stream ends when all is said.
    Ends,
}

use Says::{Comments, CrLf, Ends, Feed, Ids, Resumes, Retry};

const PYTHON: &str = "tests/producers/requirements.txt";

pub const EXPRESS: Facts = Facts {
    name: "Express",
    start: producer::express,
    path: "/events",
    packages: &[Locked { file: "tests/express/package-lock.json", name: "express" }],
    route: "",
    replay: "",
    framing: Framing::Chunked,
    says: &[Ids, Resumes, Feed, Comments, Retry],
};

pub const FASTAPI: Facts = Facts {
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
    says: &[Ids, Resumes, Feed, Comments, Retry, CrLf],
};

pub const AXUM: Facts = Facts {
    name: "axum",
    start: producer::axum,
    path: "/events",
    packages: &[Locked { file: "tests/producers/axum/Cargo.lock", name: "axum" }],
    route: "",
    replay: "",
    framing: Framing::Chunked,
    says: &[Ids, Resumes, Feed, Comments, Retry],
};

pub const FLASK: Facts = Facts {
    name: "Flask",
    start: producer::flask,
    path: "/events",
    packages: &[Locked { file: PYTHON, name: "Flask" }],
    route: "",
    replay: "ids = \"fill\"",
    framing: Framing::Chunked,
    says: &[Feed, Comments, Retry],
};

pub const GUNICORN: Facts = Facts {
    name: "Flask on gunicorn",
    packages: &[Locked { file: PYTHON, name: "Flask" }, Locked { file: PYTHON, name: "gunicorn" }],
    start: producer::flask_on_gunicorn,
    ..FLASK
};

pub const WAITRESS: Facts = Facts {
    name: "Flask on waitress",
    packages: &[Locked { file: PYTHON, name: "Flask" }, Locked { file: PYTHON, name: "waitress" }],
    start: producer::flask_on_waitress,
    ..FLASK
};

pub const RAW_SOCKET: Facts = Facts {
    name: "a socket in Python",
    start: producer::raw_socket,
    path: "/events",
    packages: &[],
    route: "",
    replay: "ids = \"fill\"",
    framing: Framing::Close,
    says: &[Feed, Comments, Retry],
};

pub const NGINX: Facts = Facts {
    name: "a file behind nginx",
    start: producer::nginx,
    path: "/events.sse",
    packages: &[],
    route: "on_end = \"complete\"",
    replay: "start = \"oldest\"",
    framing: Framing::Length,
    says: &[Ids, Feed, Comments, Retry, Ends],
};

pub const TOKENS: Facts = Facts {
    name: "a language model's tokens",
    start: producer::tokens,
    path: "/events",
    packages: &[],
    route: "on_end = \"complete\"",
    replay: "ids = \"fill\"\nstart = \"oldest\"",
    framing: Framing::Chunked,
    says: &[Ends],
};

pub const ALL: [&Facts; 9] = [&EXPRESS, &FASTAPI, &FLASK, &GUNICORN, &WAITRESS, &RAW_SOCKET, &AXUM, &NGINX, &TOKENS];

#[tokio::test]
async fn express_is_passed_through_unchanged_and_resumed() {
    conforms(&EXPRESS).await;
}

#[tokio::test]
async fn fastapi_with_sse_starlette_is_passed_through_unchanged_and_resumed() {
    conforms(&FASTAPI).await;
}

#[tokio::test]
async fn axum_is_passed_through_unchanged_and_resumed() {
    conforms(&AXUM).await;
}

#[tokio::test]
async fn flask_is_passed_through_unchanged_and_its_clients_get_ids() {
    conforms(&FLASK).await;
}

#[tokio::test]
async fn flask_on_gunicorn_is_passed_through_unchanged_and_its_clients_get_ids() {
    conforms(&GUNICORN).await;
}

#[tokio::test]
async fn flask_on_waitress_is_passed_through_unchanged_and_its_clients_get_ids() {
    conforms(&WAITRESS).await;
}

#[tokio::test]
async fn a_bare_socket_is_passed_through_unchanged_and_its_clients_get_ids() {
    conforms(&RAW_SOCKET).await;
}

#[tokio::test]
async fn a_file_behind_nginx_is_read_once_and_replayed_to_its_end() {
    conforms(&NGINX).await;
}

#[tokio::test]
async fn the_tokens_of_a_language_model_are_produced_once_and_replayed_to_their_end() {
    conforms(&TOKENS).await;
}

impl Facts {
    pub fn says(&self, what: Says) -> bool {
        self.says.contains(&what)
    }
}

const WHOLE: usize = 8;

async fn conforms(facts: &Facts) {
    let mut producer = Producer::start(facts.start).await;
    let direct = as_documented(facts, &producer).await;
    let gateway = gateway_of(facts, &producer).await;
    let mut clients = Vec::new();
    for client in both_protocols(&gateway, None) {
        clients.push(client.subscribe(facts.path, &[]).await);
    }

    let mut third = String::new();
    for client in &mut clients {
        let events = client.next_events(WHOLE).await;
        assert_eq!(without_ids(&events), without_ids(&direct));
        assert!(events.windows(2).all(|pair| pair[0].last_event_id != pair[1].last_event_id), "{events:?}");
        if facts.says(Ids) {
            assert_eq!(events, direct);
        }
        if facts.says(Retry) {
            assert!(client.retries().contains(&Duration::from_millis(100)), "{:?}", client.retries());
        }
        third.clone_from(&events[2].last_event_id);
    }
    let mut resumed = Client::http1(gateway.address()).subscribe(facts.path, &[("last-event-id", &third)]).await;
    assert!(resumed.header("rillgate-resume").starts_with("resumed;missed="), "{:?}", resumed.headers);
    assert_eq!(without_ids(&resumed.next_events(WHOLE - 3).await), without_ids(&direct[3..]));
    assert_eq!(metric(&gateway, "upstream_connects_total", &[]).await, 1.0);

    if facts.says(Ends) {
        is_replayed_when_it_has_ended(facts, &producer, &gateway, &mut clients[0]).await;
        return;
    }
    producer.kill().await;
    producer.start_again().await;
    for client in &mut clients {
        if facts.says(Resumes) {
            goes_on(&gateway, client).await;
        } else {
            begins_again(client).await;
        }
    }
}

/// The first events of a direct connection, after a look at how they came.
async fn as_documented(facts: &Facts, producer: &Producer) -> Vec<Event> {
    let mut direct = Client::http1(producer.address()).subscribe(facts.path, &[]).await;
    let events = direct.next_events(WHOLE).await;
    let text = direct.read_bytes(direct.total_bytes(), DEADLINE).await;
    let framing = match (direct.header("transfer-encoding"), direct.header("content-length")) {
        ("chunked", "") => Framing::Chunked,
        ("", "") => Framing::Close,
        _ => Framing::Length,
    };
    assert_eq!(framing, facts.framing);
    assert_eq!(direct.header("content-encoding"), "");
    assert_eq!(text.contains(&b'\r'), facts.says(CrLf));
    assert_eq!(direct.comments().iter().any(|comment| comment == " hello"), facts.says(Comments));
    assert_eq!(direct.retries() == [Duration::from_millis(100)], facts.says(Retry));
    for (number, event) in (1_u64..).zip(&events) {
        assert_eq!(event.last_event_id, if facts.says(Ids) { number.to_string() } else { String::new() });
        let data = || serde_json::from_str::<Value>(&event.data).unwrap();
        match number {
            _ if !facts.says(Feed) => assert!(data()["token"].is_string()),
            1 => {
                assert_eq!(event.kind, "price");
                assert_eq!(data(), json!({ "symbol": "EURUSD", "price": 1.0821, "currency": "€" }));
            }
            2 => assert_eq!((event.kind.as_str(), event.data.as_str()), ("message", "first line\nsecond line")),
            _ => assert_eq!((event.kind.as_str(), data()), ("tick", json!({ "number": number }))),
        }
    }
    let last = [("last-event-id", "2")];
    let again = Client::http1(producer.address()).subscribe(facts.path, &last).await.next_event(DEADLINE).await;
    assert_eq!(again == events[2], facts.says(Resumes), "{again:?}");
    events
}

/// Starts a gateway with the recommended settings, and a log that every client reads from its beginning.
async fn gateway_of(facts: &Facts, producer: &Producer) -> Rillgate {
    let start = if facts.replay.contains("start") { "" } else { "start = \"oldest\"" };
    Setup::for_origin(&producer.url())
        .upstream("backoff = { initial = \"50ms\", max = \"200ms\" }")
        .route(facts.route)
        .replay(facts.replay)
        .replay(start)
        .start()
        .await
}

async fn is_replayed_when_it_has_ended(
    facts: &Facts,
    producer: &Producer,
    gateway: &Rillgate,
    client: &mut Subscription,
) {
    let rest = client.expect_end(DEADLINE).await;
    producer.kill().await;

    for client in both_protocols(gateway, None) {
        let mut late = client.subscribe(facts.path, &[]).await;
        let events = late.expect_end(DEADLINE).await;
        assert_eq!(events[WHOLE..], rest);
        let last = events.last().unwrap().last_event_id.clone();
        assert_eq!(client.subscribe(facts.path, &[("last-event-id", &last)]).await.status.as_u16(), 204);
    }
    assert_eq!(metric(gateway, "upstream_connects_total", &[]).await, 1.0);
}

/// No event is missing and none comes twice; but only the ids that follow show it, which nobody can know to be without
/// a hole: the gateway says so in a comment.
async fn goes_on(gateway: &Rillgate, client: &mut Subscription) {
    wait_metric(gateway, "upstream_connects_total", &["result=\"ok\""], 2.0).await;
    let produced = metric(gateway, "upstream_events_total", &[]).await as usize;

    let events = client.next_events(produced + 5 - WHOLE).await;

    for (number, event) in (WHOLE + 1..).zip(&events) {
        assert_eq!(event.last_event_id, number.to_string());
        assert_eq!(serde_json::from_str::<Value>(&event.data).unwrap(), json!({ "number": number }));
    }
    client.next_comment("rillgate-resume: gap;reason=upstream", DEADLINE).await;
}

/// The clients stay, and are told that something may be missing.
async fn begins_again(client: &mut Subscription) {
    while client.next_event(DEADLINE).await.kind != "price" {}

    assert_eq!(client.next_event(DEADLINE).await.data, "first line\nsecond line");
    client.next_comment("rillgate-resume: gap;reason=upstream", DEADLINE).await;
}

fn without_ids(events: &[Event]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect()
}
