//! The streams that a valid token opens. No decision leaks from one request to another.

use futures_util::future::join_all;
use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, bearer, claims, route, token};
use crate::support::client::Protocol;
use crate::support::origin::Emission;
use crate::support::wait::DEADLINE;

#[tokio::test]
async fn a_token_for_one_stream_never_opens_another() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}{}",
        route("prices", "/prices/{symbol}", "streams_claim = \"streams\""),
        route("orders", "/orders/{id}", "streams_claim = \"streams\"")
    );
    let gateway = fixture.start(&rest).await;
    let good = bearer(&token(&json!({ "streams": ["/prices/EURUSD", "/prices/a/b", "/orders"] })));
    let others = [
        "/prices/USDJPY",
        "/prices/EUR",
        "/prices/EURUS",
        "/prices/EURUSDX",
        "/prices/EURUSD2",
        "/prices/eurusd",
        "/prices/EURUSd",
        "/Prices/EURUSD",
        "/PRICES/EURUSD",
        "/orders/EURUSD",
        "/orders/1",
        "/prices/*",
        "/prices/a",
        "/prices/a/b",
        "/prices",
        "/prices/",
        "/",
        "/prices/EURUSD/",
        "/prices/EURUSD/x",
        "//prices/EURUSD",
        "/prices//EURUSD",
        "/prices/./EURUSD",
        "/./prices/EURUSD",
        "/prices/../prices/EURUSD",
        "/prices/EURUSD/.",
        "/prices/EURUSD/..",
        "/prices/EURUSD/../USDJPY",
        "/prices/EURUSD/%2e%2e/USDJPY",
        "/prices/EURUSD/%2E%2E/USDJPY",
        "/prices/EURUSD%2f..%2fUSDJPY",
        "/prices/EURUSD%2F..%2FUSDJPY",
        "/prices/..%2fprices%2fEURUSD",
        "/prices/EURUSD..%5cUSDJPY",
        "/prices/%2e/EURUSD",
        "/prices%2FEURUSD",
        "/%2fprices/EURUSD",
        "/prices/EURUSD%2f",
        "/prices/EURUSD%00",
        "/prices/EURUSD%00USDJPY",
        "/prices/EURUSD%20",
        "/prices/%20EURUSD",
        "/prices/EURUSD%0a",
        "/prices/EURUSD%0d%0ax:%20y",
        "/prices/EURUSD;v=1",
        "/prices/EURUSD;/../USDJPY",
        "/prices/EURUSD%3fx",
        "/prices/EURUSD%23",
        "/prices/EURUSD%",
        "/prices/EURUSD%4",
        "/prices/EURUSD%zz",
        "/prices/%2545URUSD",
        "/prices/%45URUSD%2520",
        "/prices/EURUSD%c0%af",
        "/prices/%u0045URUSD",
        "/prices/EURUSD,USDJPY",
        "/prices/EURUSD+",
        "/prices/EURUSD&x",
        "/prices/EURUSD~",
        "/prices/EURUSD.",
        "/prices/.EURUSD",
    ];

    let mut wrong = Vec::new();
    for protocol in PROTOCOLS {
        for path in others {
            let answer = fixture.client(protocol, &gateway).subscribe(path, &[("authorization", &good)]).await;
            if !matches!(answer.status.as_u16(), 400 | 403 | 404) {
                wrong.push(format!("{protocol:?} {path}: {}", answer.status));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(fixture.origin.requests().len(), 0, "a request reached the origin");
    // Equivalent spellings of the path name the same stream.
    for protocol in PROTOCOLS {
        for path in ["/prices/EURUSD", "/prices/%45URUSD", "/%70rices/EURUS%44", "/prices/EURUSD?x=/prices/USDJPY"] {
            let answer = fixture.client(protocol, &gateway).subscribe(path, &[("authorization", &good)]).await;
            assert_eq!(answer.status.as_u16(), 200, "{path}");
        }
    }
    let asked: Vec<_> = fixture.origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/prices/EURUSD"]);
}

#[tokio::test]
async fn requests_on_one_http2_connection_are_authorized_separately() {
    let fixture = AuthFixture::new().await;
    let auth = "streams_claim = \"streams\"\n[routes.share]\nclaims = { x-tenant = \"tenant\" }";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    let tenant = |name: &str| Some(bearer(&token(&json!({ "streams": ["/prices/*"], "tenant": name }))));
    let kinds = [
        (tenant("one"), 200),
        (None, 401),
        (tenant("two"), 200),
        (Some(bearer(&token(&json!({ "streams": ["/orders/*"] })))), 403),
        (Some(bearer(&token(&json!({ "streams": ["/prices/*"], "exp": 1 })))), 401),
        (Some(bearer("not.a.token")), 401),
    ];
    // One connection: all requests are in flight before any response is read.
    let connection = tokio::sync::Mutex::new(fixture.client(Protocol::Http2, &gateway).connect().await.unwrap());

    let asked = (0..30).flat_map(|_| &kinds).map(|(token, status)| async {
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let answer = connection.lock().await.try_request("GET", "/prices/EURUSD", &headers).await.unwrap();
        (answer, *status, token.clone())
    });
    let answers = join_all(asked).await;

    for (answer, status, _) in &answers {
        assert_eq!(answer.status.as_u16(), *status);
    }
    fixture.origin.wait_open(2).await;
    let tenants: Vec<_> = fixture
        .origin
        .requests()
        .iter()
        .map(|request| request.header("x-tenant").unwrap_or("none").to_owned())
        .collect();
    assert_eq!(tenants.len(), 2);
    assert!(tenants.contains(&"one".to_owned()) && tenants.contains(&"two".to_owned()), "{tenants:?}");
}

#[tokio::test]
async fn a_shared_claim_is_sent_upstream_and_separates_streams() {
    let fixture = AuthFixture::new().await;
    fixture.origin.answer(|request| {
        let tenant = request.header("x-tenant").unwrap_or("none").to_owned();
        crate::support::script::Answer::stream().then(format!("data: for {tenant}\n\n"))
    });
    let auth = "[routes.share]\nclaims = { x-tenant = \"org.name\" }\n[routes.replay]\nstart = \"oldest\"";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;

    let mut seen = Vec::new();
    for org in [json!({ "name": "one" }), json!({ "name": "two" }), json!({ "name": "one" })] {
        let token = bearer(&token(&json!({ "org": org })));
        let headers = [("authorization", token.as_str()), ("x-tenant", "forged")];
        let mut client = fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &headers).await;
        seen.push(client.next_event(DEADLINE).await.data);
    }

    assert_eq!(seen, ["for one", "for two", "for one"]);
    // Without the header, the upstream might send every tenant's events.
    for org in [json!({}), json!({ "name": "" }), json!({ "name": ["one"] }), json!("one")] {
        let token = bearer(&token(&json!({ "org": org })));
        let client = fixture.client(Protocol::Http2, &gateway);
        let refused = client.subscribe("/prices/x", &[("authorization", &token)]).await;
        assert_eq!(refused.status.as_u16(), 403, "{org}");
        assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    }
    assert_eq!(Metrics::of(&gateway).await.sum("rillgate_auth_failures_total", &[("reason", "share")]), 4.0);
    assert_eq!(fixture.origin.requests().len(), 2, "there is one stream for each value");
}

#[tokio::test]
async fn a_claim_with_control_characters_is_not_sent_upstream() {
    let fixture = AuthFixture::new().await;
    let auth = "[routes.share]\nclaims = { x-tenant = \"tenant\" }";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;

    for tenant in ["a\r\nx-admin: yes", "a\nb", "a\0b", "\u{7f}"] {
        let token = bearer(&token(&json!({ "tenant": tenant })));
        let answer =
            fixture.client(Protocol::Http1, &gateway).subscribe("/prices/x", &[("authorization", &token)]).await;
        assert_eq!(answer.status.as_u16(), 400, "{tenant:?}");
    }

    assert_eq!(fixture.origin.connections().total, 0);
}

#[tokio::test]
async fn without_enforcement_a_bad_token_is_admitted_counted_and_logged() {
    let fixture = AuthFixture::new().await;
    let auth = "enforce = false\nstreams_claim = \"streams\"";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    gateway.wait_line("enforce", DEADLINE).await;
    let good = token(&json!({ "streams": ["/prices/x"] }));
    let cases = [
        (None, Some("missing")),
        (Some(token(&json!({ "exp": 1 }))), Some("expired")),
        (Some(token(&json!({ "streams": ["/prices/y"] }))), Some("streams")),
        (Some("nonsense".to_owned()), Some("malformed")),
        (Some(good), None),
    ];

    for (token, _) in &cases {
        let token = token.as_deref().map(bearer);
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let mut client = fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &headers).await;
        assert_eq!(client.status.as_u16(), 200);
        fixture.origin.wait_open(1).await;
        fixture.origin.emit(Emission::event("1", "", "admitted"));
        assert_eq!(client.next_event(DEADLINE).await.data, "admitted");
    }

    let counted = Metrics::of(&gateway).await;
    for reason in cases.iter().filter_map(|(_, reason)| *reason) {
        assert_eq!(counted.sum("rillgate_auth_failures_total", &[("reason", reason)]), 1.0, "{reason}");
        gateway.wait_line(&format!("reason=\"{reason}\""), DEADLINE).await;
    }
    assert_eq!(counted.sum("rillgate_rejections_total", &[("route", "prices")]), 0.0);
}

#[tokio::test]
async fn require_accepts_lists_numbers_and_booleans() {
    let fixture = AuthFixture::new().await;
    let auth = "require = { role = [\"reader\", \"admin\"], level = 3, staff = true }";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    let cases = [
        (json!({ "role": "admin", "level": 3, "staff": true }), 200),
        (json!({ "role": ["x", "reader"], "level": [1, 3], "staff": true }), 200),
        (json!({ "role": "writer", "level": 3, "staff": true }), 403),
        (json!({ "role": "admin", "level": 4, "staff": true }), 403),
        (json!({ "role": "admin", "level": "3", "staff": true }), 403),
        (json!({ "role": "admin", "level": 3, "staff": false }), 403),
        (json!({ "role": "admin", "level": 3 }), 403),
    ];

    for (changed, status) in cases {
        let token = bearer(&token(&changed));
        let client = fixture.client(Protocol::Http2, &gateway);
        let answer = client.subscribe("/prices/x", &[("authorization", &token)]).await;
        assert_eq!(answer.status.as_u16(), status, "{changed}");
    }
}

#[tokio::test]
async fn bound_captures_must_match_their_claims() {
    let fixture = AuthFixture::new().await;
    let auth = "require = { scope = \"read\" }\nbind = { user = \"sub\" }";
    let gateway = fixture.start(&route("inbox", "/inbox/{user}", auth)).await;
    let cases = [
        ("/inbox/alice", json!({ "scope": "write read" }), 200),
        ("/inbox/alice", json!({ "scope": ["read"] }), 200),
        ("/inbox/bob", json!({ "scope": "read" }), 403),
        ("/inbox/alice", json!({ "scope": "reader" }), 403),
        ("/inbox/alice", json!({}), 403),
        ("/inbox/Alice", json!({ "scope": "read" }), 403),
    ];

    for (path, changed, status) in cases {
        let token = bearer(&token(&changed));
        let answer = fixture.client(Protocol::Http1, &gateway).subscribe(path, &[("authorization", &token)]).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {}", claims(&changed));
        if status == 403 {
            assert!(answer.header("www-authenticate").contains("error=\"insufficient_scope\""));
        }
    }
}
