//! The admin port of a running gateway: a stream and its slowest clients, a tap, the configuration, the log filter.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::figures::{admin, lines_with, metric, watch_for};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

async fn json(gateway: &Rillgate, path: &str) -> Value {
    let (status, text) = admin(gateway, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// Returns the only open stream, as the list shows it.
async fn only_stream(gateway: &Rillgate) -> Value {
    let streams = json(gateway, "/streams").await;
    assert_eq!(streams["streams"].as_array().unwrap().len(), 1);
    streams["streams"][0].clone()
}

async fn put(gateway: &Rillgate, path: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    let text = Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await;
    (status(&text), text)
}

#[tokio::test]
async fn a_stream_page_lists_the_slowest_clients() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).route("share = { query = [\"depth\"] }");
    let gateway =
        setup.listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.2/32\"]").start().await;
    let path = "/prices?depth=a%20b%2Fc%3F%25";
    let proxy = Client::http2(gateway.address()).coming_from("127.0.0.2".parse().unwrap());
    let fields = [("x-forwarded-for", "198.51.100.7"), ("x-request-id", "the-slow-one")];
    // The client's window is full after the first byte, and it reads nothing.
    let _slow = proxy.window(1).subscribe(path, &fields).await;
    let mut quick = Vec::new();
    for _ in 0..12 {
        quick.push(Client::http1(gateway.address()).subscribe(path, &[]).await);
    }
    for number in 1..=100 {
        origin.emit(Emission::event(&number.to_string(), "", &"x".repeat(1000)));
    }
    for reader in &mut quick {
        reader.next_events(100).await;
    }

    let link = only_stream(&gateway).await["link"].as_str().unwrap().to_owned();
    let stream = json(&gateway, &link).await;

    assert_eq!((&stream["subscribers"], &stream["events"]), (&13.into(), &100.into()));
    let slowest = stream["slowest"].as_array().unwrap();
    assert_eq!(slowest.len(), 10, "only the ten slowest are listed");
    let (first, second) = (&slowest[0], &slowest[1]);
    assert_eq!((&first["client"], &first["protocol"]), (&"198.51.100.7".into(), &"h2".into()));
    assert_eq!((&first["request_id"], first.get("subject")), (&"the-slow-one".into(), None));
    let (events, bytes) = (first["behind_events"].as_u64().unwrap(), first["behind_bytes"].as_u64().unwrap());
    assert!((1..=100).contains(&events) && bytes > events * 1000, "{first}");
    assert_eq!(
        (&second["protocol"], &second["behind_events"], &second["behind_bytes"]),
        (&"h1".into(), &0.into(), &0.into())
    );

    quick.clear();
    eventually(DEADLINE, || async { json(&gateway, &link).await["slowest"].as_array().unwrap().len() == 1 }).await;
    for nothing in ["/streams/all/%2Fother", "/streams/none/%2Fprices", "/streams/all/%FF", "/streams/all"] {
        assert_eq!(admin(&gateway, nothing).await.0, 404, "{nothing}");
    }
}

#[tokio::test]
async fn a_tap_neither_opens_a_stream_nor_keeps_it_open() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).delivery("linger = \"100ms\"").start().await;
    let operator = Client::http1(gateway.admin());
    assert_eq!(operator.subscribe("/tap/all/%2Fprices", &[]).await.status, 404);
    assert_eq!(origin.connections().total, 0);
    let reader = Client::http2(gateway.address()).subscribe("/prices", &[]).await;
    let tap = only_stream(&gateway).await["tap"].as_str().unwrap().to_owned();

    let mut tapped = operator.subscribe(&tap, &[]).await;
    tapped.next_comment("rillgate-tap", DEADLINE).await;
    origin.emit(Emission::event("1", "price", "42"));

    let event = tapped.next_event(DEADLINE).await;
    assert_eq!((event.kind.as_str(), event.data.as_str(), event.last_event_id.as_str()), ("price", "42", "1"));
    assert_eq!(metric(&gateway, "subscribers", &[]).await, 1.0);
    assert_eq!(only_stream(&gateway).await["subscribers"], 1);
    drop(reader);
    assert!(tapped.expect_end(DEADLINE).await.is_empty());
    eventually(DEADLINE, || async { origin.connections().open == 0 }).await;
}

#[tokio::test]
async fn the_running_configuration_is_shown_without_its_secrets() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (header, key) =
        (file("header-file-name", "header-in-a-file"), file("hmac-file-name", &"hmac-secret".repeat(4)));
    let setup = Setup::for_origin(&origin.url())
        .upstream(&format!(
            "headers = {{ x-plain = \"header-in-plain\", x-file = {{ file = \"{header}\" }}, x-env = {{ env = \"NAME_OF_ENV\" }} }}"
        ))
        .after(&format!(
            "[issuers.main]\nissuer = \"https://id.example.com/\"\naudience = [\"rillgate\"]\nkeys = [\n\
             {{ secret = {{ file = \"{key}\" }}, algorithm = \"HS256\", kid = \"k1\" }},\n\
             {{ secret = {{ env = \"NAME_OF_KEY\" }}, algorithm = \"HS256\", kid = \"k2\" }},\n\
             {{ jwks_url = \"http://127.0.0.1:9/jwks?code=query-secret\" }}]\n"
        ));
    let environment = [("NAME_OF_ENV", "header-in-env"), ("NAME_OF_KEY", "key-in-env-of-more-than-32-bytes.")];
    let gateway = Rillgate::start_with(&setup.toml(), &environment).await;

    let (status, text) = admin(&gateway, "/config").await;

    assert_eq!(status, 200);
    for secret in [
        "header-in-plain",
        "header-file-name",
        "header-in-a-file",
        "hmac-file-name",
        "hmac-secret",
        "NAME_OF_ENV",
        "NAME_OF_KEY",
        "header-in-env",
        "key-in-env",
        "query-secret",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
        assert_eq!(lines_with(&gateway, &[secret]), 0, "{secret}");
    }
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["upstreams"]["origin"]["headers"]["x-plain"], "[redacted]");
    assert_eq!(shown["issuers"]["main"]["keys"][0]["kid"], "k1");
    assert_eq!((&shown["limits"]["streams"], &shown["server"]["drain"]["spread"]), (&10_000.into(), &"5s".into()));
    assert_eq!(shown["routes"][0]["replay"]["events"], 1000);
}

#[tokio::test]
async fn config_shows_the_running_value_of_restart_only_keys() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let gateway = setup.start().await;

    gateway.rewrite(
        &setup.clone().server("drain = { spread = \"1s\" }").route("open = \"on-demand\"\nhost = \"localhost\"").toml(),
    );
    gateway.signal("HUP");
    eventually(DEADLINE, || async { json(&gateway, "/config").await["routes"][0]["host"] == "localhost" }).await;

    assert_eq!(json(&gateway, "/config").await["server"]["drain"]["spread"], "5s");
}

#[tokio::test]
async fn the_log_filter_is_changed_while_the_gateway_runs() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let client = Client::http1(gateway.address());
    client.try_request("POST", "/one", &[]).await.unwrap();
    gateway.wait_line("answered", DEADLINE).await;

    assert_eq!(put(&gateway, "/log-level", "", "warn").await.0, 200);
    client.try_request("POST", "/two", &[]).await.unwrap();
    watch_for(std::time::Duration::from_millis(300)).await;
    assert_eq!(lines_with(&gateway, &["answered"]), 1);
    assert!(admin(&gateway, "/log-level").await.1.contains("rillgate=warn"));
    gateway.wait_line("log filter changed", DEADLINE).await;

    for (body, words) in [("rillgate=loud", "rillgate=loud"), ("infoo", "infoo=debug"), ("a=b=c", "directives")] {
        let (status, text) = put(&gateway, "/log-level", "", body).await;
        assert_eq!(status, 400, "{body}");
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(put(&gateway, "/log-level", "", &"x".repeat(5000)).await.0, 413);
    assert_eq!(put(&gateway, "/log-level", "origin: http://localhost\r\n", "off").await.0, 403);
    assert_eq!(put(&gateway, "/log-level", "", "rillgate::access=info").await.0, 200);
    client.try_request("POST", "/three", &[]).await.unwrap();
    eventually(DEADLINE, || async { lines_with(&gateway, &["answered"]) == 2 }).await;
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_unless_configured() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let ask = async |gateway: &Rillgate, host: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        status(&Raw::exchange(&Client::http1(gateway.admin()), request.as_bytes()).await)
    };
    let named = setup.toml().replace("[admin]\n", "[admin]\nhosts = [\"ops.example.com\"]\n");

    let (plain, known) = (setup.start().await, Rillgate::start(&named).await);

    assert_eq!((ask(&plain, "ops.example.com").await, ask(&plain, "127.0.0.1:9464").await), (421, 200));
    assert_eq!((ask(&known, "ops.example.com:9464").await, ask(&known, "evil.example.com").await), (200, 421));
}
