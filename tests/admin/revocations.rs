//! `/revocations`: methods, responses, bounds, and refusal of web pages.

use std::time::SystemTime;

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rillgate::auth::{Revocation, revocation_from_json};
use serde_json::{Value, json};

use super::{Port, read};

fn revocation(jti: &str) -> Revocation {
    revocation_from_json(json!({ "jti": jti }).to_string().as_bytes(), SystemTime::now()).unwrap()
}

/// Adds posted revocations and returns their ids in the order of the list.
fn post(port: &Port, jtis: &[&str]) -> Vec<String> {
    let add = |jti: &&str| port.trust.revocations().revoke(revocation(jti), SystemTime::now()).unwrap().to_string();
    let mut ids: Vec<_> = jtis.iter().map(add).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_posted_revocation_is_in_force_and_answered_with_its_id() {
    let port = Port::open();

    let request = Request::post("/revocations").header("host", "admin").body(Full::from("{\"jti\":\"a\"}")).unwrap();
    let (status, _, body) = read(port.send(request).await).await;

    assert_eq!(status, StatusCode::OK);
    let listed = port.trust.revocations().list(None, SystemTime::now()).rows;
    assert_eq!((listed.len(), listed[0].value.as_str()), (1, "a"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({ "revoked": true, "id": listed[0].id.to_string() }));
}

#[tokio::test]
async fn the_list_continues_after_an_id() {
    let port = Port::open();
    let ids = post(&port, &["a", "b"]);
    let first = &ids[0];
    // The first digit as a percent-encoded one, which has to be decoded.
    let encoded = format!("%{:x}{}", first.as_bytes()[0], &first[1..]);

    for (path, expected) in [
        ("/revocations".to_owned(), &ids[..]),
        (format!("/revocations?after={first}"), &ids[1..]),
        (format!("/revocations?before=x&after={encoded}"), &ids[1..]),
    ] {
        let (status, headers, body) = port.get(&path).await;
        assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
        let body: Value = serde_json::from_str(&body).unwrap();
        let listed: Vec<_> = body["revocations"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
        assert_eq!((json!(listed), &body["next"]), (json!(expected), &Value::Null), "{path}");
        let (head, of_head, none) = port.ask(Method::HEAD, &path).await;
        assert_eq!((head, none.as_str(), &of_head["content-length"]), (status, "", &headers["content-length"]));
    }
    let (status, headers, body) = port.get("/revocations?after=").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["content-type"], "application/problem+json");
    let detail = serde_json::from_str::<Value>(&body).unwrap()["detail"].clone();
    assert_eq!(detail, "invalid after: expected the next id of the previous page, 64 hex digits");
}

#[tokio::test]
async fn an_entry_is_removed_with_no_content_or_refused_with_a_reason() {
    let port = Port::open();
    let posted = format!("/revocations/{}", post(&port, &["posted"])[0]);
    let now = SystemTime::now();
    port.trust.revocations().replace_filed(vec![revocation("filed")], now).unwrap();

    let (status, headers, body) = port.ask(Method::DELETE, &posted).await;

    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(!headers.contains_key("content-type") && !headers.contains_key("content-length"), "{headers:?}");
    assert_eq!(headers["cache-control"], "no-store");
    let left = port.trust.revocations().list(None, now).rows;
    assert_eq!((left.len(), left[0].value.as_str()), (1, "filed"));
    let filed = format!("/revocations/{}", left[0].id);
    let unknown = "no revocation in force has this id";
    for (path, expected, reason) in [
        (filed.clone(), StatusCode::CONFLICT, "this revocation comes from the revocation file; remove it there"),
        (posted.clone(), StatusCode::NOT_FOUND, unknown),
        (format!("{filed}/a"), StatusCode::NOT_FOUND, unknown),
        ("/revocations/".to_owned(), StatusCode::NOT_FOUND, unknown),
    ] {
        let (status, headers, body) = port.ask(Method::DELETE, &path).await;
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
async fn a_longer_name_is_another_resource() {
    assert_eq!(Port::open().get("/revocationsa").await.0, StatusCode::NOT_FOUND);
}
