//! One-time tickets: URLs in place of a token.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, admin, bearer, in_seconds, route, token, without_subject};
use crate::support::client::{Client, Protocol};
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::{DEADLINE, eventually, within};

/// Requests a ticket and returns its URL and its lifetime in seconds.
async fn ticket(client: &Client, path: &str, token: &str) -> (String, u64) {
    let headers = [("authorization", token), ("accept", "application/json")];
    let mut answer = client.try_request("POST", &format!("{path}?ticket"), &headers).await.unwrap();
    let text = answer.text().await;
    assert_eq!(answer.status.as_u16(), 200, "{text}");
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    let body: Value = serde_json::from_str(&text).unwrap();
    (body["url"].as_str().unwrap().to_owned(), body["expires_in"].as_u64().unwrap())
}

async fn fixture_with_tickets() -> (AuthFixture, Rillgate) {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}{}{}",
        route("prices", "/prices/{symbol}", "tickets = true\nticket_ttl = \"10s\"\nstreams_claim = \"streams\""),
        route("orders", "/orders/{id}", "tickets = true"),
        route("plain", "/plain/{x}", ""),
    );
    let gateway = fixture.start(&rest).await;
    (fixture, gateway)
}

#[tokio::test]
async fn a_ticket_is_valid_once_and_for_its_path() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let good = bearer(&token(&json!({ "streams": ["/prices/*"] })));

    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        let (url, expires_in) = ticket(&client, "/prices/x", &good).await;
        assert!(url.starts_with("/prices/x?ticket=") && url.len() == "/prices/x?ticket=".len() + 43, "{url}");
        assert!((9..=10).contains(&expires_in));

        let mut first = client.subscribe(&url, &[]).await;
        let mut second = client.subscribe(&url, &[]).await;

        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 401));
        assert!(second.header("www-authenticate").contains("invalid_token"));
        assert!(!second.text().await.contains(&url["/prices/x?ticket=".len()..]));
        fixture.origin.wait_open(1).await;
        fixture.origin.emit(Emission::event("1", "", "by ticket"));
        assert_eq!(first.next_event(DEADLINE).await.data, "by ticket");
    }
    let counted = Metrics::of(&gateway).await;
    assert_eq!(counted.by("rillgate_auth_failures_total", "reason").get("ticket"), Some(&2.0));
}

#[tokio::test]
async fn a_ticket_for_another_path_or_altered_is_refused() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let good = bearer(&token(&json!({ "streams": ["/prices/*"] })));
    let query = |url: &str| url.split_once('?').unwrap().1.to_owned();

    for elsewhere in ["/prices/y", "/orders/x", "/plain/x", "/prices/X"] {
        let (url, _) = ticket(&client, "/prices/x", &good).await;
        let answer = client.subscribe(&format!("{elsewhere}?{}", query(&url)), &[]).await;
        assert_eq!(answer.status.as_u16(), 401, "{elsewhere}");
    }
    for changed in ["?ticket=", "?ticket", "?ticket=x", "?ticket=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(client.subscribe(&format!("/prices/x{changed}"), &[]).await.status.as_u16(), 401, "{changed}");
    }
    // A ticket together with a token, or two tickets, are ambiguous: another parser could choose the other one.
    let (url, _) = ticket(&client, "/prices/x", &good).await;
    assert_eq!(client.subscribe(&url, &[("authorization", &good)]).await.status.as_u16(), 400);
    let twice = format!("{url}&{}", query(&url));
    assert_eq!(client.subscribe(&twice, &[]).await.status.as_u16(), 400);
    // Neither attempt used the ticket up.
    let with_more = format!("{url}&limit=1&follow=false");
    assert_eq!(client.subscribe(&with_more, &[]).await.status.as_u16(), 200);
    assert!(fixture.origin.requests().iter().all(|request| request.target == "/prices/x"));
}

#[tokio::test]
async fn a_ticket_is_issued_only_to_clients_that_may_read() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let good = bearer(&token(&json!({ "streams": ["/prices/x"] })));
    let over = bearer(&token(&json!({ "streams": ["/prices/x"], "exp": 1 })));
    let cases = [
        ("/prices/x?ticket", Some(&good), 200),
        ("/prices/y?ticket", Some(&good), 403),
        ("/prices/x?ticket", Some(&over), 401),
        ("/prices/x?ticket", None, 401),
        ("/prices/x?ticket=x", Some(&good), 400),
        ("/prices/x", Some(&good), 400),
        ("/plain/x?ticket", Some(&good), 405),
        ("/nowhere?ticket", Some(&good), 404),
    ];

    for protocol in PROTOCOLS {
        for (target, token, status) in cases {
            let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
            let answer = fixture.client(protocol, &gateway).try_request("POST", target, &headers).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{target}");
            if status == 405 {
                assert_eq!(answer.header("allow"), "GET, HEAD");
            }
        }
        let headers = [("authorization", good.as_str())];
        let answer = fixture.client(protocol, &gateway).try_request("PUT", "/prices/x", &headers).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD, POST"));
    }
    assert_eq!(fixture.origin.connections().total, 0);
}

#[tokio::test]
async fn a_ticket_expires_and_its_stream_ends_with_the_token() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}{}",
        route("short", "/short/{x}", "tickets = true\nticket_ttl = \"100ms\""),
        route("long", "/long/{x}", "tickets = true"),
    );
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &rest)).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let lasting = bearer(&token(&json!({})));

    let made = in_seconds(0.0);
    let (url, _) = ticket(&client, "/short/x", &lasting).await;
    eventually(DEADLINE, || async { in_seconds(0.0) > made + 1.0 }).await;
    assert_eq!(client.subscribe(&url, &[]).await.status.as_u16(), 401);

    let expiry = in_seconds(3.0);
    let (url, expires_in) = ticket(&client, "/long/x", &bearer(&token(&json!({ "exp": expiry })))).await;
    assert!(expires_in <= 3, "{expires_in}");
    let mut stream = client.subscribe(&url, &[]).await;
    assert_eq!(stream.status.as_u16(), 200);
    assert_eq!(stream.ending(Duration::from_secs(10)).await, Ending::Clean);
    let late = in_seconds(0.0) - expiry;
    assert!((0.0..1.0).contains(&late), "{late}");
}

#[tokio::test]
async fn a_revoked_token_invalidates_its_tickets() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let (url, _) = ticket(&client, "/orders/x", &bearer(&token(&json!({ "jti": "t1" })))).await;
    let (other, _) = ticket(&client, "/orders/x", &bearer(&token(&json!({ "jti": "t2" })))).await;

    assert_eq!(admin(&gateway, "POST", "/revocations", r#"{ "jti": "t1" }"#).await.0, 200);

    assert_eq!(client.subscribe(&url, &[]).await.status.as_u16(), 401);
    assert_eq!(client.subscribe(&other, &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_subject_cannot_exceed_its_tickets() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let mut connection = fixture.client(Protocol::Http2, &gateway).connect().await.unwrap();
    // Tickets are counted per token where there is no subject.
    let (nobody, another) = (bearer(&without_subject("t1")), bearer(&without_subject("t2")));
    for number in 0..33 {
        let answer = connection.try_request("POST", "/orders/x?ticket", &[("authorization", &nobody)]).await.unwrap();
        assert_eq!(answer.status.as_u16(), if number < 32 { 200 } else { 429 });
    }
    let answer = connection.try_request("POST", "/orders/x?ticket", &[("authorization", &another)]).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    let (alice, bob) = (bearer(&token(&json!({}))), bearer(&token(&json!({ "sub": "bob" }))));
    let mut statuses = Vec::new();

    for _ in 0..33 {
        let answer = connection.try_request("POST", "/orders/x?ticket", &[("authorization", &alice)]).await.unwrap();
        statuses.push(answer.status.as_u16());
        if answer.status.as_u16() == 429 {
            assert!(!answer.header("retry-after").is_empty());
        }
    }

    assert_eq!((statuses.iter().filter(|status| **status == 200).count(), statuses[32]), (32, 429));
    let answer = connection.try_request("POST", "/orders/x?ticket", &[("authorization", &bob)]).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_get_503_when_all_tickets_are_in_use() {
    const ALL: usize = 10_000;
    let fixture = AuthFixture::new().await;
    let gateway = fixture.start(&route("orders", "/orders/{id}", "tickets = true\nticket_ttl = \"10m\"")).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    // Many subjects, or the limit per subject would be reached first.
    let tokens: Vec<_> = (0..ALL / 32 + 1).map(|n| bearer(&token(&json!({ "sub": format!("user {n}") })))).collect();
    let (mine, url) =
        (bearer(&token(&json!({ "sub": "me" }))), ticket(&client, "/orders/x", &tokens[ALL / 32]).await.0);

    let asking = (0..5).map(|lane| {
        let (client, tokens) = (&client, &tokens);
        async move {
            let mut connection = client.connect().await.unwrap();
            for number in (lane..ALL - 1).step_by(5) {
                let headers = [("authorization", tokens[number / 32].as_str())];
                let answer = connection.try_request("POST", "/orders/x?ticket", &headers).await.unwrap();
                assert_eq!(answer.status.as_u16(), 200, "{number}");
            }
        }
    });
    within(Duration::from_secs(60), "ten thousand tickets", join_all(asking)).await;

    let headers = [("authorization", mine.as_str())];
    let mut full = client.try_request("POST", "/orders/x?ticket", &headers).await.unwrap();
    assert_eq!(full.status.as_u16(), 503);
    assert!(!full.header("retry-after").is_empty());
    assert!(full.text().await.contains("\"reason\":\"tickets\""));
    // Using a ticket makes room for another.
    assert_eq!(client.subscribe(&url, &[]).await.status.as_u16(), 200);
    ticket(&client, "/orders/x", &mine).await;
}

#[tokio::test]
async fn a_cross_origin_page_gets_no_ticket_for_a_cookie() {
    let fixture = AuthFixture::new().await;
    let auth =
        "tickets = true\ntoken_from = [\"cookie:session\"]\n[routes.cors]\norigins = [\"https://app.example.com\"]";
    let gateway = fixture.start(&route("orders", "/orders/{id}", auth)).await;
    let cookie = format!("session={}", token(&json!({})));

    for (origin, status) in [("https://app.example.com", 200), ("https://evil.example.com", 403), ("null", 403)] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        let client = fixture.client(Protocol::Http2, &gateway);
        let answer = client.try_request("POST", "/orders/x?ticket", &headers).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn concurrent_uses_of_one_ticket_admit_one_client() {
    let (fixture, gateway) = fixture_with_tickets().await;
    let client = fixture.client(Protocol::Http2, &gateway);

    for _ in 0..5 {
        let (url, _) = ticket(&client, "/orders/x", &bearer(&token(&json!({})))).await;
        let answers = join_all((0..20).map(|_| client.subscribe(&url, &[]))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status.as_u16() == 200).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status.as_u16() == 401).count(), 19);
    }
}
