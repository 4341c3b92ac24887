//! Real clients in every situation, over TLS.
//!
//! The browser's own `EventSource` is tested in `tests/browser`. `compatibility.rs` compares `docs/compatibility.md`
//! with the table of clients here.

use crate::failover_fixture::FailoverFixture;
use crate::support::adapter::{self, Adapter, Dispatched};
use crate::support::figures::{metric, wait_metric};
use crate::support::locked::Locked;
use crate::support::origin::Emission;
use crate::support::wait::{DEADLINE, eventually};

const NPM: &str = "tests/clients/package-lock.json";
const PYTHON: &str = "tests/clients/requirements.txt";
const CARGO: &str = "tests/clients/reqwest/Cargo.lock";

pub const EVENTSOURCE: Adapter = Adapter {
    name: "eventsource",
    packages: &[Locked { file: NPM, name: "eventsource" }],
    command: adapter::eventsource,
    protocol: "h1",
    listens_by_type: true,
    shows_blocks_without_data: false,
    accepts_compression: true,
};

pub const FETCH_EVENT_SOURCE: Adapter = Adapter {
    name: "@microsoft/fetch-event-source",
    packages: &[Locked { file: NPM, name: "@microsoft/fetch-event-source" }],
    command: adapter::fetch_event_source,
    protocol: "h1",
    listens_by_type: false,
    shows_blocks_without_data: true,
    accepts_compression: true,
};

pub const EVENTSOURCE_PARSER: Adapter = Adapter {
    name: "eventsource-parser",
    packages: &[Locked { file: NPM, name: "eventsource-parser" }],
    command: adapter::eventsource_parser,
    protocol: "h1",
    listens_by_type: false,
    shows_blocks_without_data: false,
    accepts_compression: true,
};

pub const HTTPX_SSE: Adapter = Adapter {
    name: "httpx-sse",
    packages: &[Locked { file: PYTHON, name: "httpx-sse" }, Locked { file: PYTHON, name: "httpx" }],
    command: adapter::httpx,
    protocol: "h1",
    listens_by_type: false,
    shows_blocks_without_data: true,
    accepts_compression: true,
};

pub const HTTPX_SSE_HTTP2: Adapter = Adapter {
    name: "httpx-sse over HTTP/2",
    packages: &[
        Locked { file: PYTHON, name: "httpx-sse" },
        Locked { file: PYTHON, name: "httpx" },
        Locked { file: PYTHON, name: "h2" },
    ],
    command: adapter::httpx_over_http2,
    protocol: "h2",
    ..HTTPX_SSE
};

pub const SSE_STREAM: Adapter = Adapter {
    name: "sse-stream",
    packages: &[Locked { file: CARGO, name: "sse-stream" }, Locked { file: CARGO, name: "reqwest" }],
    command: adapter::reqwest,
    protocol: "h2",
    listens_by_type: false,
    shows_blocks_without_data: true,
    accepts_compression: false,
};

pub const CURL: Adapter = Adapter {
    name: "curl",
    packages: &[],
    command: adapter::curl,
    protocol: "h2",
    listens_by_type: false,
    shows_blocks_without_data: false,
    accepts_compression: false,
};

pub const ALL: [&Adapter; 7] =
    [&EVENTSOURCE, &FETCH_EVENT_SOURCE, &EVENTSOURCE_PARSER, &HTTPX_SSE, &HTTPX_SSE_HTTP2, &SSE_STREAM, &CURL];

/// Defines a module with the client's name and a test for each situation.
macro_rules! in_every_situation {
    ($name:ident, $client:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn receives_events_as_they_arrive() {
                gets_events(&$client).await;
            }

            #[tokio::test]
            async fn receives_custom_event_types() {
                gets_types(&$client).await;
            }

            #[tokio::test]
            async fn gets_each_event_of_a_compressed_stream_at_once() {
                decodes_at_once(&$client).await;
            }

            #[tokio::test]
            async fn resumes_after_the_gateway_is_restarted() {
                resumes_after_a_restart(&$client).await;
            }

            #[tokio::test]
            async fn misses_nothing_at_a_restart_with_read_through() {
                is_caught_up_after_a_restart(&$client).await;
            }

            #[tokio::test]
            async fn stops_at_a_401() {
                stops_when_refused(&$client, 401).await;
            }

            #[tokio::test]
            async fn stops_at_a_403() {
                stops_when_refused(&$client, 403).await;
            }

            #[tokio::test]
            async fn continues_with_a_new_token_when_the_old_one_expires() {
                outlives_its_token(&$client).await;
            }

            #[tokio::test]
            async fn moves_to_another_gateway_at_a_drain_and_misses_nothing() {
                moves_at_a_drain(&$client).await;
            }

            #[tokio::test]
            async fn receives_a_gap_event() {
                is_told_of_a_gap(&$client).await;
            }
        }
    };
}

in_every_situation!(eventsource, EVENTSOURCE);
in_every_situation!(fetch_event_source, FETCH_EVENT_SOURCE);
in_every_situation!(eventsource_parser, EVENTSOURCE_PARSER);
in_every_situation!(httpx_sse, HTTPX_SSE);
in_every_situation!(httpx_sse_over_http2, HTTPX_SSE_HTTP2);
in_every_situation!(sse_stream, SSE_STREAM);
in_every_situation!(curl, CURL);

async fn gets_events(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = \"public\"").await;
    let gateway = fixture.start().await;
    let running = fixture.follow(client, "", None);
    fixture.auth.origin.wait_open(1).await;

    for (id, data) in [("1", "one"), ("2", "first\nsecond"), ("3", "{\"price\":\"1 €\"}")] {
        fixture.auth.origin.emit(Emission::event(id, "", data));
    }

    let expected = [message("1", "one"), message("2", "first\nsecond"), message("3", "{\"price\":\"1 €\"}")];
    assert_eq!(running.wait_events(3).await, expected);
    assert_eq!(metric(&gateway, "subscriptions_total", &[]).await, 1.0);
    let protocol = format!("protocol=\"{}\"", client.protocol);
    assert_eq!(metric(&gateway, "subscribers", &[&protocol]).await, 1.0);
}

async fn decodes_at_once(client: &Adapter) {
    let mut fixture = FailoverFixture::new("auth = \"public\"").await;
    let keys = "[routes.delivery]\ncompression = [\"zstd\", \"gzip\"]\ncompression_window = { events = 3 }";
    fixture.config = fixture.config.replacen("[routes.delivery]", keys, 1);
    let gateway = fixture.start().await;
    let running = fixture.follow(client, "", None);
    fixture.auth.origin.wait_open(1).await;

    let mut expected = Vec::new();
    for number in 1..=8 {
        let data = format!("{{\"symbol\":\"ACME\",\"price\":{},\"volume\":1200}}", number * 7);
        fixture.auth.origin.emit(Emission::event(&number.to_string(), "", &data));
        expected.push(message(&number.to_string(), &data));
        assert_eq!(running.wait_events(number).await, expected);
    }

    let saved = metric(&gateway, "bytes_saved_total", &[]).await;
    assert_eq!(saved > 0.0, client.accepts_compression, "{saved} bytes saved");
}

async fn gets_types(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = \"public\"").await;
    let _gateway = fixture.start().await;
    let running = fixture.follow(client, "", None);
    fixture.auth.origin.wait_open(1).await;

    for (number, kind) in ["price", "trade", "never-named", ""].into_iter().enumerate() {
        fixture.auth.origin.emit(Emission::event(&number.to_string(), kind, "x"));
    }

    let kinds: &[_] = if client.listens_by_type {
        &["price", "trade", "message"]
    } else {
        &["price", "trade", "never-named", "message"]
    };
    let events = running.wait_events(kinds.len()).await;
    assert_eq!(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), kinds);
}

async fn resumes_after_a_restart(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = \"public\"").await;
    let first = fixture.start().await;
    let running = fixture.follow(client, "", None);
    fixture.auth.origin.wait_open(1).await;
    fixture.emit("1").await;
    fixture.emit("2").await;
    running.wait_events(2).await;

    first.signal("KILL");
    first.wait_exit(DEADLINE).await;
    running.wait_lost(1).await;
    let second = fixture.start().await;
    wait_metric(&second, "subscriptions_total", &["verdict=\"gap\""], 1.0).await;
    fixture.auth.origin.wait_requests(2).await;
    fixture.emit("3").await;

    // The log was in memory only, so the new process does not know the id and reports a gap.
    let gap = Dispatched { kind: "rillgate.resume".into(), data: gap("unknown"), id: String::new() };
    let events = running.wait_events(4).await;
    assert_eq!((&events[2].kind, &events[2].data), (&gap.kind, &gap.data));
    assert_eq!([&events[..2], &events[3..]].concat(), [message("1", "1"), message("2", "2"), message("3", "3")]);
}

async fn is_caught_up_after_a_restart(client: &Adapter) {
    let mut fixture = FailoverFixture::new("auth = \"public\"").await;
    fixture.config = fixture.config.replacen("[routes.replay]", "[routes.replay]\nread_through = true", 1);
    fixture.auth.origin.honour_last_event_id();
    let first = fixture.start().await;
    let running = fixture.follow(client, "", None);
    fixture.auth.origin.wait_open(1).await;
    fixture.emit("1").await;
    running.wait_events(1).await;

    first.signal("KILL");
    first.wait_exit(DEADLINE).await;
    running.wait_lost(1).await;
    fixture.auth.origin.emit(Emission::event("2", "", "2"));
    let second = fixture.start().await;

    running.wait_events(2).await;
    fixture.emit("3").await;
    let expected = ["1", "2", "3"].map(|number| message(number, number));
    assert_eq!(running.wait_events(3).await, expected);
    assert_eq!(metric(&second, "subscriptions_total", &["verdict=\"resumed\""]).await, 1.0);
}

#[tokio::test]
async fn clients_see_no_gap_when_a_gateway_with_a_disk_log_restarts() {
    for client in [&EVENTSOURCE, &HTTPX_SSE_HTTP2] {
        let fixture = FailoverFixture::new("auth = \"public\"").await.with_store();
        fixture.auth.origin.honour_last_event_id();
        let mut gateway = fixture.start().await;
        let running = fixture.follow(client, "", None);
        fixture.auth.origin.wait_open(1).await;
        fixture.emit("1").await;
        fixture.emit("2").await;
        running.wait_events(2).await;
        wait_metric(&gateway, "store_bytes", &[], 1.0).await;

        gateway.restart().await;
        running.wait_lost(1).await;
        wait_metric(&gateway, "subscriptions_total", &["verdict=\"resumed\""], 1.0).await;
        fixture.emit("3").await;

        let expected = ["1", "2", "3"].map(|number| message(number, number));
        assert_eq!(running.wait_events(3).await, expected, "{}", client.name);
    }
}

#[tokio::test]
async fn an_aborted_response_is_an_error_to_fetch_in_nodejs() {
    let mut fixture = FailoverFixture::new("auth = \"public\"").await;
    let cut = "[routes.delivery]\nend = \"cut\"\nmax_age = \"500ms\"";
    fixture.config = fixture.config.replacen("[routes.delivery]", cut, 1);
    let _gateway = fixture.start().await;
    let running = fixture.follow(&EVENTSOURCE_PARSER, "", None);
    fixture.emit("1").await;
    running.wait_events(1).await;

    running.wait_lost(1).await;

    assert_ne!(running.lost()[0], "the response ended");
}

async fn stops_when_refused(client: &Adapter, status: u64) {
    let fixture = FailoverFixture::new("auth = { issuers = [\"main\"], require = { scope = \"prices:read\" } }").await;
    let gateway = fixture.start().await;
    let bearer = (status == 403).then(|| fixture.write_token(600.0, "orders:read"));

    let running = fixture.follow(client, "", bearer.as_deref());

    assert_eq!(running.wait_closed().await, Some(status));
    assert_eq!(fixture.auth.origin.requests().len(), 0);
    assert_eq!(metric(&gateway, "auth_failures_total", &[]).await, 1.0, "the client tried again");
}

/// The lifetime of a short-lived token in seconds: enough to connect and get one event on a very busy machine.
const LIFETIME: f64 = 6.0;

async fn outlives_its_token(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = { issuers = [\"main\"], require = { scope = \"prices:read\" } }").await;
    let gateway = fixture.start().await;
    let bearer = fixture.write_token(LIFETIME, "prices:read");
    let running = fixture.follow(client, "", Some(&bearer));
    // The token is renewed until the client has connected, however long the client takes to start.
    let is_connected = || async {
        fixture.write_token(LIFETIME, "prices:read");
        fixture.auth.origin.connections().open == 1
    };
    eventually(DEADLINE, is_connected).await;
    fixture.write_token(600.0, "prices:read");
    fixture.emit("1").await;
    running.wait_events(1).await;

    running.wait_lost(1).await;
    wait_metric(&gateway, "subscriptions_total", &["verdict=\"resumed\""], 1.0).await;
    fixture.emit("2").await;

    assert_eq!(running.wait_events(2).await, [message("1", "1"), message("2", "2")]);
    assert_eq!(metric(&gateway, "subscriptions_ended_total", &["reason=\"expired\""]).await, 1.0);
    // A resumed response begins with a block that sets only the id.
    assert_eq!(running.events_without_data() > 0, client.shows_blocks_without_data);
}

async fn moves_at_a_drain(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = \"public\"\nopen = \"always\"").await;
    let old = fixture.start().await;
    let running = fixture.follow(client, "", None);
    wait_metric(&old, "subscribers", &[], 1.0).await;
    fixture.emit("1").await;
    running.wait_events(1).await;
    let new = fixture.start().await;
    fixture.auth.origin.wait_open(2).await;
    fixture.emit("2").await;
    wait_metric(&new, "upstream_events_total", &[], 1.0).await;
    running.wait_events(2).await;

    old.signal("TERM");
    running.wait_lost(1).await;
    fixture.emit("3").await;

    let expected = ["1", "2", "3"].map(|number| message(number, number));
    assert_eq!(running.wait_events(3).await, expected);
    assert!(old.wait_exit(DEADLINE).await.success());
    assert_eq!(metric(&new, "subscriptions_total", &["verdict=\"resumed\""]).await, 1.0);
}

async fn is_told_of_a_gap(client: &Adapter) {
    let fixture = FailoverFixture::new("auth = \"public\"").await;
    let _gateway = fixture.start().await;

    let running = fixture.follow(client, "?last_event_id=never-seen", None);
    fixture.auth.origin.wait_open(1).await;
    fixture.emit("1").await;

    let events = running.wait_events(2).await;
    assert_eq!((events[0].kind.as_str(), &events[0].data), ("rillgate.resume", &gap("unknown")));
    assert_eq!(events[1..], [message("1", "1")]);
}

fn message(id: &str, data: &str) -> Dispatched {
    Dispatched { kind: "message".into(), data: data.into(), id: id.into() }
}

fn gap(reason: &str) -> String {
    format!("{{\"resume\":\"gap\",\"reason\":\"{reason}\"}}")
}
