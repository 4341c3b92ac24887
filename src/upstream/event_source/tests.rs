use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::runtime::backoff::Backoff;
use crate::runtime::resolver::Resolver;
use crate::stream::{Continuity, SourceAnswer, Upstream};
use crate::upstream::Resume;

/// Returns the source of a stream of the upstream at this address.
fn source(address: &str, request: SourceRequest) -> Arc<dyn EventSource> {
    let settings = UpstreamSettings {
        name: "feed".to_owned(),
        origins: vec![Origin {
            scheme: Scheme::HTTP,
            authority: address.parse::<Authority>().expect("an authority"),
            base: String::new(),
            query: String::new(),
        }],
        headers: vec![(HeaderName::from_static("x-mode"), HeaderValue::from_static("configured"))],
        secrets: Vec::new(),
        token: None,
        resume: Resume::default(),
        is_overlapping: false,
        connect_timeout: Duration::from_secs(5),
        open_timeout: Duration::from_secs(5),
        idle_timeout: None,
        backoff: Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(1) },
        max_event: 1024,
        http2: None,
        tls: None,
    };
    let budget = ConnectBudget::new(Resolver::new(Arc::new(|| ())), Arc::new(|| ()));
    Arc::new(settings).source(&Arc::new(request), &budget)
}

/// Opens the stream at a producer that answers with this status line and header fields. Returns the request that the
/// producer got, up to the end of `body`, and the outcome.
async fn exchange(request: SourceRequest, answer: &str, body: &str) -> (String, Result<Continuity, OpenError>) {
    let (seen, outcome) = exchange_outcome(request, answer, body).await;
    (seen, outcome.and_then(OpenOutcome::into_stream).map(|opened| opened.continuity))
}

/// Does the same as [`exchange`] and returns the whole outcome.
async fn exchange_outcome(
    request: SourceRequest,
    answer: &str,
    body: &str,
) -> (String, Result<OpenOutcome, OpenError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let source = source(&listener.local_addr().expect("an address").to_string(), request);
    let produce = async {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut seen = Vec::new();
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") || !seen.ends_with(body.as_bytes()) {
            assert!(socket.read_buf(&mut seen).await.expect("bytes") > 0, "ended early");
        }
        socket.write_all(format!("{answer}\r\n\r\n").as_bytes()).await.expect("sent");
        (String::from_utf8(seen).expect("text"), socket)
    };
    let ((seen, _socket), outcome) = tokio::join!(produce, source.open(None));
    (seen, outcome)
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream";

fn post() -> SourceRequest {
    let header = |name: &str, value: &str| SourceHeader { name: name.to_owned(), value: value.into() };
    SourceRequest {
        method: SourceMethod::Post,
        path: "/answers".to_owned(),
        query: "model=small".to_owned(),
        headers: vec![header("content-type", "application/json")],
        body: Bytes::from_static(b"{\"question\":1}"),
        is_idempotent: true,
        trace: vec![header("traceparent", "00-1-2-01"), header("x-mode", "of the client")],
    }
}

#[tokio::test]
async fn a_request_with_a_method_and_a_body_is_sent_as_it_is() {
    let (seen, outcome) = exchange(post(), STREAM, "{\"question\":1}").await;

    let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
    assert_eq!(outcome, Ok(Continuity::Unknown));
    assert!(head.starts_with("POST /answers?model=small HTTP/1.1\r\n"), "{head}");
    for line in ["content-type: application/json", "content-length: 14", "traceparent: 00-1-2-01"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(head.contains("x-mode: configured") && !head.contains("of the client"), "{head}");
    assert_eq!(body, "{\"question\":1}");
}

#[tokio::test]
async fn a_request_without_a_body_announces_none() {
    let (seen, _) = exchange(SourceRequest { path: "/feed".to_owned(), ..SourceRequest::default() }, STREAM, "").await;

    assert!(seen.starts_with("GET /feed HTTP/1.1\r\n"), "{seen}");
    assert!(!seen.contains("content-length") && !seen.contains("transfer-encoding"), "{seen}");
}

#[tokio::test]
async fn a_redirect_that_may_drop_the_body_is_refused() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0";

    let (_, outcome) = exchange(post(), answer, "{\"question\":1}").await;

    assert_eq!(outcome, Err(OpenError::Invalid("the upstream redirects a POST with 302".to_owned())));
}

#[tokio::test]
async fn a_header_that_http_cannot_carry_fails_the_attempt() {
    let header = SourceHeader { name: "x-line".to_owned(), value: b"a\nb".to_vec() };
    let request = SourceRequest { path: "/".to_owned(), headers: vec![header], ..SourceRequest::default() };

    let outcome = source("127.0.0.1:9", request).open(None).await.map(|_| ());

    let invalid = "invalid header of the upstream request: \"x-line\"".to_owned();
    assert_eq!(outcome, Err(OpenError::Invalid(invalid)));
}

#[tokio::test]
async fn a_response_that_is_no_event_stream_is_an_answer_with_its_status_type_and_retry_after() {
    for (head, status, content_type, retry_after) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8", 200, Some("application/json"), None),
        ("HTTP/1.1 200 OK\r\ncontent-type: none", 200, Some("none"), None),
        ("HTTP/1.1 403 Forbidden", 403, None, None),
        ("HTTP/1.1 429 Slow Down\r\nretry-after: 7\r\ncontent-type: text/plain", 429, Some("text/plain"), Some(7)),
        ("HTTP/1.1 503 Down\r\nretry-after: 86400", 503, None, Some(300)),
    ] {
        let (_, outcome) = exchange_outcome(post(), head, "{\"question\":1}").await;

        let Ok(OpenOutcome::Answer(answer)) = outcome else { panic!("no answer: {head}") };
        let content_type = content_type.map(ToOwned::to_owned);
        let retry_after = retry_after.map(Duration::from_secs);
        let content = answer.content.clone();
        assert!(content.is_some(), "the clients get what the answer says");
        assert_eq!(answer, SourceAnswer { status, content_type, retry_after, content });
    }
}
