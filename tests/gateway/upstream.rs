//! Requests to an upstream: their targets and headers.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::figures::lines_with;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut, Request};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

const USER_AGENT: &str = concat!("rillgate/", env!("CARGO_PKG_VERSION"));

/// Returns a request head with its fields sorted by name.
fn head(request: &Request) -> String {
    let mut fields = request.headers.clone();
    fields.sort();
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {}\n{}", request.method, request.target, fields.join("\n"))
}

#[tokio::test]
async fn an_upstream_sees_only_configured_client_data() {
    let origin = Origin::start().await;
    let config = plain(
        &origin.url(),
        "delivery.linger = \"1ms\"\nshare = { query = [\"page\", \"interval\"], headers = [\"x-tenant\"] }",
    )
    .replace("/{name}", "/prices/{symbol}/{day}")
    .replace("upstream = \"origin\"", "upstream = \"origin\"\nupstream_path = \"/feed/{day}/{symbol}\"")
    .replace("backoff", "headers = { x-api-key = \"k1\", Via = { env = \"VIA\" } }\nbackoff");
    let gateway = Rillgate::start_with(&config, &[("VIA", "gate\n")]).await;
    let authority = origin.address().to_string();

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let before = origin.requests().len();
        let number = before.to_string();
        let mut subscription = client
            .subscribe(
                &format!("/prices/EUR.USD/d~1?interval=5+%26&secret=1&page={number}&last_event_id=4&token=t"),
                &[
                    ("cookie", "session=1"),
                    ("authorization", "Bearer t"),
                    ("x-tenant", "blue"),
                    ("x-other", "red"),
                    ("x-api-key", "stolen"),
                    ("x-forwarded-for", "10.0.0.1"),
                    ("forwarded", "for=10.0.0.1"),
                    ("user-agent", "client"),
                    ("accept-encoding", "gzip"),
                    ("accept-language", "de"),
                    ("referer", "https://example.com/"),
                    ("origin", "https://example.com"),
                    ("te", "trailers"),
                    ("range", "bytes=0-"),
                    ("if-none-match", "x"),
                    ("x-request-id", "the-clients"),
                    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                    ("tracestate", "client=1"),
                ],
            )
            .await;
        assert_eq!(subscription.status.as_u16(), 200);
        // The gateway generates both ids, because this client is not a trusted proxy.
        let request = subscription.header("x-request-id").to_owned();
        let trace = origin.requests()[before].header("traceparent").unwrap_or_default().to_owned();
        assert!(trace.starts_with(&format!("00-{request}-")), "{trace} {request}");
        let expected = |id: &str| {
            format!(
                "GET /feed/d~1/EUR.USD?page={number}&interval=5%20%26\naccept: text/event-stream\n\
                 accept-encoding: identity\ncache-control: no-cache\nhost: {authority}\n{id}\
                 traceparent: {trace}\nuser-agent: {USER_AGENT}\nvia: gate\nx-api-key: k1\nx-request-id: {request}\n\
                 x-tenant: blue"
            )
        };
        assert_eq!(head(&origin.requests()[before]), expected(""));

        origin.wait_open(1).await;
        origin.emit(Emission::event("7 \u{e9}", "", "seven"));
        assert_eq!(subscription.next_event(DEADLINE).await.last_event_id, "7 \u{e9}");
        origin.cut(Cut::Reset);

        assert_eq!(head(&origin.wait_requests(before + 2).await[before + 1]), expected("last-event-id: 7 \u{e9}\n"));
        drop(subscription);
        origin.wait_open(0).await;
    }
}

#[tokio::test]
async fn only_shared_values_separate_streams() {
    let origin = Origin::start().await;
    let route = "share = { query = [\"page\"], headers = [\"x-tenant\"] }";
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
    let client = Client::http1(gateway.address());
    let mut clients = Vec::new();

    for (target, headers, streams) in [
        ("/a", &[][..], 1),
        ("/a?other=1", &[("cookie", "a=b"), ("x-other", "1")], 1),
        ("/a?page=1", &[], 2),
        ("/a?x=1&page=1&x=2", &[], 2),
        ("/a?page=2", &[], 3),
        ("/a?page=", &[], 4),
        ("/a", &[("x-tenant", "blue")], 5),
        ("/a?page=1", &[("x-tenant", "blue")], 6),
        ("/a?page=1", &[("X-Tenant", "blue")], 6),
        ("/b", &[], 7),
        ("/%61", &[], 7),
    ] {
        clients.push(client.subscribe(target, headers).await);
        assert_eq!(origin.requests().len(), streams, "{target} {headers:?}");
    }
    // A repeated parameter is shared with every value, in order.
    clients.push(client.subscribe("/a?page=1&page=2", &[]).await);
    assert_eq!(origin.requests().last().unwrap().target, "/a?page=1&page=2");
}

#[tokio::test]
async fn the_upstream_s_retry_reaches_current_and_later_clients() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "delivery.retry = \"10s\"")).await;

    let mut before = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit("retry: 1234\n\n");
    origin.emit(Emission::event("1", "", "one"));
    before.next_event(DEADLINE).await;

    let told = before.retries();
    assert!((10..=15).contains(&told[0].as_secs()), "not the route's own time with jitter: {told:?}");
    assert_eq!(told[1..], [Duration::from_millis(1234)]);
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut later = client.subscribe("/a", &[]).await;
        later.next_comment("rillgate-resume", DEADLINE).await;
        assert_eq!(later.retries(), [Duration::from_millis(1234)]);
    }
}

#[tokio::test]
async fn a_retry_of_zero_reaches_clients_and_the_farewell_as_100_ms() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut before = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    origin.emit("retry: 0\n\n");
    origin.emit(Emission::event("1", "", "one"));
    before.next_event(DEADLINE).await;
    let mut later = Client::http2(gateway.address()).subscribe("/a", &[]).await;

    gateway.signal("TERM");
    before.expect_end(DEADLINE).await;
    later.expect_end(DEADLINE).await;

    let floor = Duration::from_millis(100);
    assert_eq!(before.retries()[1..], [floor, floor], "the upstream's and the farewell");
    assert_eq!(later.retries(), [floor, floor], "the prelude and the farewell");
}

#[tokio::test]
async fn an_upstream_that_echoes_the_resume_id_has_missed_nothing() {
    for (header, said, is_proof) in [
        ("last-event-id", "1", true),
        ("last-event-id", "earliest", false),
        ("rillgate-resume", "resumed;missed=0", true),
        ("x-nothing", "1", false),
    ] {
        let origin = Origin::start().await;
        origin.answer(move |_| Answer::stream().header(header, said));
        let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
        let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;
        origin.wait_open(1).await;
        origin.emit(Emission::event("1", "", "one"));
        client.next_event(DEADLINE).await;

        origin.cut(Cut::Fin);
        origin.wait_open(1).await;
        origin.emit(Emission::event("2", "", "two"));
        assert_eq!(client.next_event(DEADLINE).await.data, "two");

        let is_gap = client.comments().iter().any(|comment| comment.contains("gap;reason=upstream"));
        assert_eq!(is_gap, !is_proof, "{header}: {said}");
        assert_eq!(origin.requests()[1].last_event_id(), Some("1"));
    }
}

#[tokio::test]
async fn the_next_url_is_tried_when_one_is_down() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    first.refuse(503);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let urls = format!("{closed}\", \"{}\", \"{}", first.url(), second.url());
    let gateway = Rillgate::start(&plain(&urls, "")).await;

    let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;
    second.wait_open(1).await;
    second.emit(Emission::event("1", "", "one"));
    assert_eq!(client.next_event(DEADLINE).await.data, "one");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));

    first.welcome();
    second.cut(Cut::Fin);
    first.wait_open(1).await;
    first.emit(Emission::event("2", "", "two"));

    assert_eq!(client.next_event(DEADLINE).await.data, "two");
    assert_eq!(first.requests()[1].last_event_id(), Some("1"));
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn a_producer_that_ends_every_few_events_is_logged_once() {
    let origin = Origin::start_with(|request| {
        let (first, second) = (2 * request.number, 2 * request.number + 1);
        let events = format!("retry: 1\nid: {first}\ndata: {first}\n\nid: {second}\ndata: {second}\n\n");
        Answer::stream().then(events).then_cut(Cut::End)
    })
    .await;
    let gateway = Rillgate::start(&plain(&origin.url(), "")).await;
    let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;

    client.next_events(10).await;

    assert_eq!(lines_with(&gateway, &["upstream ends its responses"]), 1, "{:?}", gateway.log());
    assert_eq!(lines_with(&gateway, &["upstream lost"]) + lines_with(&gateway, &["upstream is back"]), 0);
}

#[tokio::test]
async fn an_upstream_is_trusted_only_through_its_ca_file() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let origin = Origin::start_tls(&trusted.server()).await;
    for (authority, is_trusted) in [(&trusted, true), (&other, false)] {
        let tls = format!("tls = {{ ca_file = \"{}\" }}\nbackoff", authority.file().display());
        let config = plain(&origin.url(), "delivery.when_down = \"refuse\"").replace("backoff", &tls);
        let gateway = Rillgate::start(&config).await;

        let mut client = Client::http1(gateway.address()).subscribe("/a", &[]).await;

        if is_trusted {
            origin.wait_open(1).await;
            origin.emit(Emission::event("1", "", "one"));
            assert_eq!(client.next_event(DEADLINE).await.data, "one");
            origin.cut(Cut::Fin);
            origin.wait_open(1).await;
            assert_eq!(origin.requests()[1].last_event_id(), Some("1"));
        } else {
            assert_eq!(client.status.as_u16(), 503, "{}", client.text().await);
            eventually(DEADLINE, || async { origin.connections().total > 3 }).await;
            assert_eq!(origin.requests().len(), 2);
        }
    }
}
