//! `/revocations`: methods, responses, bounds, and refusal of web pages.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rillgate::admin::RevocationActions;
use serde_json::{Value, json};

use super::{Port, read};

/// Echoes its arguments. Knows the entry `a`, and an entry `b` that cannot be removed.
pub struct Echo;

impl RevocationActions for Echo {
    fn revoke(&self, body: Bytes) -> (StatusCode, Value) {
        (StatusCode::ACCEPTED, json!({ "bytes": body.len() }))
    }

    fn list(&self, after: Option<&str>) -> Result<Value, (StatusCode, String)> {
        match after {
            Some("") => Err((StatusCode::BAD_REQUEST, "no id".to_owned())),
            after => Ok(json!({ "after": after })),
        }
    }

    fn restore(&self, id: &str) -> Result<(), (StatusCode, String)> {
        match id {
            "a" => Ok(()),
            "b" => Err((StatusCode::CONFLICT, "the file has it".to_owned())),
            _ => Err((StatusCode::NOT_FOUND, "there is none".to_owned())),
        }
    }
}

/// Panics in every call.
struct Panics;

impl RevocationActions for Panics {
    fn revoke(&self, _: Bytes) -> (StatusCode, Value) {
        panic!("for the test")
    }

    fn list(&self, _: Option<&str>) -> Result<Value, (StatusCode, String)> {
        panic!("for the test")
    }

    fn restore(&self, _: &str) -> Result<(), (StatusCode, String)> {
        panic!("for the test")
    }
}

#[tokio::test]
async fn a_panic_is_answered_with_500_and_counted_and_the_port_serves_on() {
    let port = Port::with(Some(Arc::new(Panics)));

    for (method, path) in
        [(Method::POST, "/revocations"), (Method::GET, "/revocations"), (Method::DELETE, "/revocations/a")]
    {
        assert_eq!(port.ask(method, path).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    }

    let (_, _, metrics) = port.get("/metrics").await;
    assert!(metrics.contains("rillgate_task_panics_total{task=\"admin\"} 3\n"), "{metrics}");
}

#[tokio::test]
async fn revocations_reach_the_gateway() {
    let port = Port::open();

    let request = Request::post("/revocations").header("host", "admin").body(Full::from("{\"jti\":\"a\"}")).unwrap();
    let (status, _, body) = read(port.send(request).await).await;

    assert_eq!((status, body.as_str()), (StatusCode::ACCEPTED, "{\"bytes\":11}"));
}

#[tokio::test]
async fn the_list_continues_after_an_id() {
    let port = Port::open();

    for (path, told) in [
        ("/revocations", "{\"after\":null}"),
        ("/revocations?after=ab", "{\"after\":\"ab\"}"),
        ("/revocations?before=x&after=a%62", "{\"after\":\"ab\"}"),
    ] {
        let (status, headers, body) = port.get(path).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, told), "{path}");
        assert_eq!(headers["content-type"], "application/json");
        let (head, of_head, none) = port.ask(Method::HEAD, path).await;
        assert_eq!((head, none.as_str(), &of_head["content-length"]), (status, "", &headers["content-length"]));
    }
    let (status, headers, body) = port.get("/revocations?after=").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["detail"], "no id");
}

#[tokio::test]
async fn an_entry_is_removed_with_no_content_or_refused_with_a_reason() {
    let port = Port::open();

    let (status, headers, body) = port.ask(Method::DELETE, "/revocations/a").await;

    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(!headers.contains_key("content-type") && !headers.contains_key("content-length"), "{headers:?}");
    assert_eq!(headers["cache-control"], "no-store");
    for (path, expected, reason) in [
        ("/revocations/b", StatusCode::CONFLICT, "the file has it"),
        ("/revocations/c", StatusCode::NOT_FOUND, "there is none"),
        ("/revocations/a/a", StatusCode::NOT_FOUND, "there is none"),
        ("/revocations/", StatusCode::NOT_FOUND, "there is none"),
    ] {
        let (status, headers, body) = port.ask(Method::DELETE, path).await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["detail"], reason);
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_the_allowed_ones() {
    let port = Port::open();

    for (method, path, allowed) in [
        (Method::DELETE, "/revocations", "GET, HEAD, POST"),
        (Method::PUT, "/revocations", "GET, HEAD, POST"),
        (Method::GET, "/revocations/a", "DELETE"),
        (Method::POST, "/revocations/a", "DELETE"),
    ] {
        let (status, headers, _) = port.ask(method, path).await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, allowed), "{path}");
    }
}

#[tokio::test]
async fn revocation_bodies_are_bounded() {
    let port = Port::open();

    let large = Request::post("/revocations").header("host", "admin").body(Full::from(vec![b'a'; 65 * 1024])).unwrap();

    assert_eq!(read(port.send(large).await).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn web_pages_cannot_add_remove_or_list_revocations() {
    let port = Port::open();

    for (method, path, field, value) in [
        (Method::POST, "/revocations", "origin", "https://evil.example"),
        (Method::DELETE, "/revocations/a", "origin", "https://evil.example"),
        (Method::DELETE, "/revocations/a", "origin", "null"),
        (Method::DELETE, "/revocations/a", "sec-fetch-site", "same-origin"),
        (Method::GET, "/revocations", "sec-fetch-site", "cross-site"),
    ] {
        let request = Request::builder().method(method).uri(path).header("host", "admin").header(field, value);
        let (status, _, _) = read(port.send(request.body(Full::default()).unwrap()).await).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path} {field}: {value}");
    }
}

#[tokio::test]
async fn without_revocations_the_resource_does_not_exist() {
    let port = Port::with(None);

    for (method, path) in
        [(Method::POST, "/revocations"), (Method::GET, "/revocations"), (Method::DELETE, "/revocations/a")]
    {
        assert_eq!(port.ask(method, path).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(Port::open().get("/revocationsa").await.0, StatusCode::NOT_FOUND);
}
