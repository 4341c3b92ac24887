//! WebSockets on HTTP/2 streams (RFC 8441), which the application sees as upgrades of HTTP/1.1.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, StatusCode, Version};
use serde_json::{Value, json};

use crate::fixture::{Site, config, everything, get, revoke, site_behind_gateway, start, token};
use crate::support::client::Client;
use crate::support::figures::wait_metric;
use crate::support::origin::Origin;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually, within};
use crate::upgrades::ROUTE;

/// A connection that may have such streams.
struct Connection(SendRequest<Bytes>);

/// One stream, or the answer that refused it.
struct Socket {
    status: StatusCode,
    fields: http::HeaderMap,
    sent: SendStream<Bytes>,
    received: RecvStream,
}

impl Connection {
    async fn open(gateway: &Rillgate) -> Self {
        let transport = Client::http2(gateway.address()).dial().await.unwrap();
        let (sender, connection) = h2::client::handshake(transport).await.unwrap();
        tokio::spawn(connection);
        eventually(DEADLINE, || {
            let is_enabled = sender.is_extended_connect_protocol_enabled();
            async move { is_enabled }
        })
        .await;
        Self(sender)
    }

    async fn socket(&self, path: &str, protocol: &str, fields: &[(&str, &str)]) -> Socket {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri(format!("http://localhost{path}"))
            .extension(Protocol::from(protocol))
            .header("sec-websocket-version", "13");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut sender = self.0.clone().ready().await.unwrap();
        let (response, sent) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        let (head, received) = within(DEADLINE, "answer", response).await.unwrap().into_parts();
        Socket { status: head.status, fields: head.headers, sent, received }
    }
}

impl Socket {
    fn send(&mut self, bytes: impl Into<Bytes>) {
        self.sent.send_data(bytes.into(), false).unwrap();
    }

    /// Reads so many bytes.
    async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let piece = within(DEADLINE, "bytes", self.received.data()).await.expect("no end").unwrap();
            self.received.flow_control().release_capacity(piece.len()).unwrap();
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Whether the stream was reset, and not ended.
    async fn is_cut(&mut self) -> bool {
        within(DEADLINE, "the end", self.received.data()).await.is_some_and(|outcome| outcome.is_err())
    }

    /// The reason of a refusal.
    async fn reason(&mut self) -> String {
        let mut body = Vec::new();
        while let Some(piece) = self.received.data().await {
            body.extend_from_slice(&piece.unwrap());
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["reason"].as_str().expect("a reason").to_owned()
    }
}

/// A frame under a mask of zeros (RFC 6455, 5.2).
fn frame(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 0x80 | 126][..], &length, &[0; 4], text].concat()
}

#[tokio::test]
async fn a_websocket_opens_on_a_stream_beside_others_and_ends_with_it() {
    let (site, gateway) = site_behind_gateway("").await;
    let connection = Connection::open(&gateway).await;
    let mut first = connection.socket("/socket", "websocket", &[("sec-websocket-protocol", "chat")]).await;
    let mut second = connection.socket("/socket", "websocket", &[]).await;
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert!(["upgrade", "connection", "sec-websocket-accept"].iter().all(|name| !first.fields.contains_key(*name)));

    for number in 0..50 {
        let text = vec![b'0' + number; 1000];
        for socket in [&mut first, &mut second] {
            socket.send(frame(&text));
            assert_eq!(socket.read(1004).await[4..], text);
        }
    }
    first.send(&b"\x88\x80\0\0\0\0"[..]);

    assert_eq!(first.read(2).await, b"\x88\x00");
    while let Some(piece) = within(DEADLINE, "the end", first.received.data()).await {
        assert_eq!(piece.expect("a clean end"), "");
    }
    assert_eq!(site.stats().await["upgrades"], json!(2));
    drop(second);
    wait_metric(&gateway, "forwarded_in_flight", &["route=\"site\""], 0.0).await;
}

#[tokio::test]
async fn what_is_no_websocket_is_refused() {
    let (_site, gateway) = site_behind_gateway("").await;
    let connection = Connection::open(&gateway).await;

    assert_eq!(connection.socket("/refused", "websocket", &[]).await.status, 403);
    let mut other = connection.socket("/socket", "connect-udp", &[]).await;
    assert_eq!((other.status.as_u16(), &*other.reason().await), (405, "method"));
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let origin = Origin::start_with(move |_| Answer::raw(answer)).await;
        let gateway = start(&config(&origin.url(), &everything(""))).await;

        let mut socket = Connection::open(&gateway).await.socket("/socket", "websocket", &[]).await;

        assert_eq!((socket.status.as_u16(), &*socket.reason().await), (502, "upstream_wrong"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_websocket_on_a_stream_needs_its_token_and_is_cut_at_revocation() {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), ROUTE)).await;
    let connection = Connection::open(&gateway).await;
    let cookie = format!("session={}", token(&json!({ "jti": "one" })));
    let foreign = [("cookie", &*cookie), ("origin", "https://evil.example")];
    assert_eq!(connection.socket("/socket", "websocket", &[]).await.status, 401);
    assert_eq!(connection.socket("/socket", "websocket", &foreign).await.status, 403);
    assert_eq!(site.stats().await["upgrades"], json!(0));
    let own = [("cookie", &*cookie), ("origin", "http://localhost")];
    let mut socket = connection.socket("/socket", "websocket", &own).await;
    assert_eq!(socket.status, 200);

    revoke(&gateway, r#"{"jti":"one"}"#).await;

    assert!(socket.is_cut().await);
}

#[tokio::test]
async fn a_websocket_on_a_stream_ends_when_nothing_passes_and_in_a_drain() {
    let site = Site::start().await;
    let drain = "[server]\ndrain = { spread = \"0s\" }\n[admin]";
    let idle = start(&config(&site.url(), &everything("idle_timeout = \"300ms\""))).await;
    let mut silent = Connection::open(&idle).await.socket("/socket", "websocket", &[]).await;
    assert_eq!(silent.status, 200);
    assert!(silent.is_cut().await);
    let drained = start(&config(&site.url(), &everything("")).replace("[admin]", drain)).await;
    let mut socket = Connection::open(&drained).await.socket("/socket", "websocket", &[]).await;
    assert_eq!(socket.status, 200);

    drained.signal("TERM");

    assert!(socket.is_cut().await);
    assert!(drained.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn a_client_that_takes_nothing_makes_the_application_wait_and_no_other_client() {
    let (_site, gateway) = site_behind_gateway("").await;
    let connection = Connection::open(&gateway).await;
    let mut socket = connection.socket("/socket", "websocket", &[]).await;
    for _ in 0..100 {
        socket.sent.reserve_capacity(60_000);
        socket.send(frame(&[b'x'; 60_000]));
    }

    for _ in 0..20 {
        assert_eq!(get(&Client::http2(gateway.address()), "/bytes/100000", &[]).await.body.len(), 100_000);
    }

    assert_eq!(socket.read(100 * 60_004).await.len(), 100 * 60_004);
}
