//! Requests that open no stream, and what nobody is told.

use http::{Method, StatusCode};

use crate::fixture::{PROTOCOLS, ask, bearer, chat, producer_behind_gateway, public_chat, request, send, token};
use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::raw::Raw;
use crate::support::wait::DEADLINE;

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    let (producer, gateway) =
        producer_behind_gateway(&chat("key = \"body\"\nbody_bytes = \"1KiB\"\nbody_timeout = \"100ms\"", "")).await;
    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());

        let large = ask(&client, "alice", &"x".repeat(1025), &[]).await;

        assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(large.reason().await, "body_bytes");
    }
    let mut slow = Raw::dial(&Client::http1(gateway.address())).await;
    let authorization = bearer("alice");
    let head = format!("POST /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n");
    slow.send(format!("{head}content-length: 10\r\n\r\n123").as_bytes()).await;
    let answer = slow.read_to_end(DEADLINE).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert!(producer.asked().is_empty());
}

#[tokio::test]
async fn an_address_has_its_share_of_bodies_and_others_have_theirs() {
    let limits = "[limits]\npost_body_bytes_per_ip = \"64KiB\"\n";
    let (producer, gateway) = producer_behind_gateway(&format!("{limits}{}", chat("key = \"body\"", ""))).await;
    let client = Client::http1(gateway.address());
    let authorization = bearer("alice");
    let mut slow = Raw::dial(&client).await;
    let head = format!("POST /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n");
    slow.send(format!("{head}content-length: 50001\r\n\r\n{}", "x".repeat(50_000)).as_bytes()).await;
    wait_metric(&gateway, "memory_bytes", &["kind=\"streams\""], 50_000.0).await;
    let question = "y".repeat(50_000);
    let asked = async |client: &Client| ask(client, "alice", &question, &[]).await;

    assert_eq!(asked(&client).await.reason().await, "post_body_bytes_per_ip");

    let reading = asked(&client.clone().coming_from([127, 0, 0, 2].into())).await;
    assert_eq!(reading.status, StatusCode::OK, "another address has a share of its own");
    assert_eq!(asked(&client).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(metric(&gateway, "shares_refused_total", &["room=\"post_bodies\""]).await >= 2.0);
    slow.send(b"x").await;
    assert!(slow.read_until("HTTP/1.1 200", DEADLINE).await);
    assert_eq!(asked(&client).await.status, StatusCode::OK, "what was sent on does not count");
    assert_eq!(producer.asked().iter().map(|asked| asked.body.len()).collect::<Vec<_>>(), [50_000, 50_001]);
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", "")).await;
    let mut client = Raw::dial(&Client::http1(gateway.address())).await;
    let authorization = bearer("alice");
    let head = format!("POST /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n");

    client.send(format!("{head}content-length: 2\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await;
    assert!(client.read_until("HTTP/1.1 100", DEADLINE).await);
    client.send(b"{}").await;
    assert!(client.read_until("HTTP/1.1 200", DEADLINE).await);

    assert_eq!(producer.asked()[0].body, &b"{}"[..]);
}

#[tokio::test]
async fn other_methods_and_routes_without_post_are_refused_as_before() {
    let (_producer, gateway) = producer_behind_gateway(&format!(
        "{}[[routes]]\nname = \"plain\"\npath = \"/plain\"\nupstream = \"model\"\nauth = \"public\"\n",
        chat("key = \"body\"", "")
    ))
    .await;
    let client = Client::http1(gateway.address());

    let put = request(&client, Method::PUT, "alice", "/chat", &[]).await;
    let plain = request(&client, Method::POST, "alice", "/plain", &[]).await;
    let unnamed = request(&client, Method::DELETE, "alice", "/chat", &[]).await;
    let ticket = request(&client, Method::POST, "alice", "/chat?ticket", &[]).await;

    assert_eq!((put.status, put.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, POST, DELETE"));
    assert_eq!((plain.status, plain.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    assert_eq!((unnamed.status, ticket.status), (StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED));
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_can_neither_post_nor_delete() {
    let cors = "[routes.cors]\norigins = [\"https://app.example.com\"]\ncredentials = true";
    let (producer, gateway) = producer_behind_gateway(&chat("key = \"body\"", cors)).await;
    let (_model, public) = producer_behind_gateway(&public_chat("key = \"each\"", cors)).await;
    let cookie = format!("session={}", token("alice"));
    for (gateway, path) in [(&gateway, "/chat"), (&public, "/chat")] {
        let client = Client::http1(gateway.address());
        for (fields, is_admitted) in [
            (vec![("origin", "https://evil.example.com")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "https://app.example.com")], true),
            (vec![("origin", "http://localhost")], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![], true),
        ] {
            let fields: Vec<_> = fields.into_iter().chain([("cookie", &*cookie)]).collect();

            let posted = send(&client, Method::POST, path, &fields, "{}").await;
            let deleted = send(&client, Method::DELETE, "/chat?rillgate-stream=unknown", &fields, "").await;

            let expected = if is_admitted { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(posted.status, expected, "{fields:?}");
            let expected = if is_admitted { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            assert_eq!(deleted.status, expected, "{fields:?}");
            if !is_admitted {
                assert_eq!(posted.reason().await, "origin");
            }
        }
    }
    assert_eq!(producer.asked().len(), 1, "a foreign page never reaches the producer");
}

#[tokio::test]
async fn pages_of_allowed_origins_may_post_and_delete_and_read_the_url() {
    let cors = "[routes.cors]\norigins = [\"https://app.example.com\"]";
    let post = "key = \"header:Idempotency-Key\"\nforward_headers = [\"x-api-key\"]";
    let (_producer, gateway) = producer_behind_gateway(&chat(post, cors)).await;
    let client = Client::http1(gateway.address());
    let origin = ("origin", "https://app.example.com");

    let preflight =
        send(&client, Method::OPTIONS, "/chat", &[origin, ("access-control-request-method", "POST")], "").await;
    let answer = ask(&client, "alice", "{}", &[origin, ("idempotency-key", "1")]).await;

    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD, POST, DELETE");
    let all = |name: &str, of: &http::HeaderMap| {
        of.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(", ")
    };
    let allowed = all("access-control-allow-headers", &preflight.headers);
    assert!(allowed.contains("idempotency-key") && allowed.contains("x-api-key"), "{allowed}");
    let exposed = all("access-control-expose-headers", &answer.headers);
    assert!(exposed.contains("content-location"), "{exposed}");
}
