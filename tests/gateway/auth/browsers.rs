//! Browser features: cookies, origins and preflights; and the other locations of a token.

use serde_json::json;

use super::fixture::{AuthFixture, PROTOCOLS, bearer, route, token};
use crate::support::client::Protocol;
use crate::support::subscription::Subscription;

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example.com";

const CORS: &str = "[routes.cors]\norigins = [\"https://app.example.com\"]\ncredentials = true";

#[tokio::test]
async fn origins_of_apps_and_extensions_can_be_allowed() {
    let apps = [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "http://tauri.localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0b1c-2d",
        "vscode-webview://abc",
    ];
    let fixture = AuthFixture::new().await;
    let auth = format!("token_from = [\"cookie:session\"]\n[routes.cors]\norigins = {apps:?}\ncredentials = true");
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", &auth)).await;
    let cookie = format!("session={}", token(&json!({})));

    for protocol in PROTOCOLS {
        for origin in apps {
            let headers = [("cookie", cookie.as_str()), ("origin", origin)];
            let answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
            assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, origin));
        }
        for origin in ["capacitor://otherhost", "tauri://localhost:1", "null"] {
            let headers = [("cookie", cookie.as_str()), ("origin", origin)];
            let answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
            assert_eq!(answer.status.as_u16(), 403, "{origin}");
        }
    }
}

#[tokio::test]
async fn a_cookie_is_accepted_only_from_same_origin_and_allowed_pages() {
    let fixture = AuthFixture::new().await;
    let auth = format!("token_from = [\"header\", \"cookie:session\"]\n{CORS}");
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", &auth)).await;
    let token = token(&json!({}));
    let cookie = format!("theme=dark; session={token}; session2=x");
    let port = gateway.address().port();
    let own = format!("https://localhost:{port}");
    let cases: Vec<(Vec<(&str, &str)>, u16)> = vec![
        (vec![], 200),
        (vec![("origin", APP)], 200),
        (vec![("origin", &own)], 200),
        (vec![("origin", EVIL)], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "https://app.example.com.evil.example.com")], 403),
        (vec![("origin", "https://APP.example.com")], 403),
        (vec![("origin", "http://app.example.com")], 403),
        (vec![("origin", "https://app.example.com:8443")], 403),
        (vec![("origin", "https://localhost")], 403),
        (vec![("origin", ""), ("sec-fetch-site", "same-origin")], 403),
        (vec![("origin", APP), ("origin", EVIL)], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-origin")], 200),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("sec-fetch-site", "same-site"), ("origin", APP)], 200),
        (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "")], 403),
        (vec![("sec-fetch-site", "none")], 200),
    ];

    for protocol in PROTOCOLS {
        for (headers, status) in &cases {
            let mut all = vec![("cookie", cookie.as_str())];
            all.extend(headers);
            let mut answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &all).await;
            assert_eq!(answer.status.as_u16(), *status, "{protocol:?} {headers:?}");
            if *status == 403 {
                assert!(answer.text().await.contains("\"reason\":\"origin\""));
            }
        }
        // No browser adds an Authorization header by itself, so a foreign origin is only denied the CORS headers.
        for (name, value, status) in [("authorization", bearer(&token), 200), ("x-none", "x".to_owned(), 401)] {
            let headers = [(name, value.as_str()), ("origin", EVIL)];
            let answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
            assert_eq!(answer.status.as_u16(), status);
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
}

#[tokio::test]
async fn two_methods_at_once_are_refused_and_unlisted_locations_ignored() {
    let fixture = AuthFixture::new().await;
    let all = "token_from = [\"header\", \"cookie:session\", \"query:access_token\"]";
    let rest =
        format!("{}{}", route("all", "/all/{x}", all), route("header", "/header/{x}", "token_from = [\"header\"]"));
    let gateway = fixture.start(&rest).await;
    let good = token(&json!({}));
    let (field, cookie) = (bearer(&good), format!("session={good}"));
    let in_query = format!("?access_token={good}");
    let in_header = || vec![("authorization", field.as_str())];
    let in_cookie = || vec![("cookie", cookie.as_str())];
    let both = || [in_header(), in_cookie()].concat();
    let cases = [
        ("/all/x", in_query.as_str(), vec![], 200),
        ("/all/x", "", in_header(), 200),
        ("/all/x", "", in_cookie(), 200),
        ("/all/x", "", both(), 400),
        ("/all/x", &in_query, in_header(), 400),
        ("/all/x", &in_query, in_cookie(), 400),
        ("/all/x", &in_query, both(), 400),
        ("/all/x", "", vec![("cookie", cookie.as_str()), ("cookie", cookie.as_str())], 200),
        ("/all/x", "?access_token=", in_header(), 401),
        ("/header/x", &in_query, vec![], 401),
        ("/header/x", "", in_cookie(), 401),
        ("/header/x", &in_query, both(), 200),
    ];

    for protocol in PROTOCOLS {
        for (path, query, headers, status) in &cases {
            let target = format!("{path}{query}");
            let answer = fixture.client(protocol, &gateway).subscribe(&target, headers).await;
            let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
            assert_eq!(answer.status.as_u16(), *status, "{protocol:?} {path} query: {} {names:?}", !query.is_empty());
            if *status == 400 {
                assert!(answer.header("www-authenticate").contains("error=\"invalid_request\""));
            }
        }
    }
}

#[tokio::test]
async fn the_challenge_reveals_only_what_the_request_asked_for() {
    let fixture = AuthFixture::new().await;
    let auth = "streams_claim = \"streams\"";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    let other = bearer(&token(&json!({ "streams": ["/orders/*"] })));
    let over = bearer(&token(&json!({ "exp": 1 })));
    let cases = [
        (None, 401, "Bearer realm=\"rillgate\""),
        (Some("Basic dXNlcjpwYXNz"), 401, "Bearer realm=\"rillgate\""),
        (Some("Bearer"), 401, "Bearer realm=\"rillgate\", error=\"invalid_token\""),
        (Some("Bearer x"), 401, "Bearer realm=\"rillgate\", error=\"invalid_token\""),
        (Some(over.as_str()), 401, "Bearer realm=\"rillgate\", error=\"invalid_token\""),
        (Some(other.as_str()), 403, "Bearer realm=\"rillgate\", error=\"insufficient_scope\""),
    ];

    for protocol in PROTOCOLS {
        for (field, status, challenge) in &cases {
            let headers: Vec<_> = field.iter().map(|field| ("authorization", *field)).collect();
            let mut answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
            assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (*status, *challenge));
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("cache-control"), "no-store");
            let text = answer.text().await;
            assert!(field.is_none_or(|field| !text.contains(field)), "{text}");
        }
    }
    assert_eq!(fixture.origin.connections().total, 0);
}

fn names(answer: &Subscription, header: &str) -> Vec<String> {
    let values = answer.headers.get_all(header).iter();
    values.flat_map(|value| value.to_str().unwrap().split(',')).map(|name| name.trim().to_lowercase()).collect()
}

#[tokio::test]
async fn a_preflight_allows_the_built_in_and_the_configured_headers() {
    let fixture = AuthFixture::new().await;
    let named = "[routes.cors]\norigins = [\"https://app.example.com\"]\nheaders = [\"Datastar-Request\", \"hx-target\"]\n\
                 [routes.share]\nheaders = [\"x-tenant\"]";
    let rest = format!("{}{}", route("named", "/named/{x}", named), route("plain", "/plain/{x}", CORS));
    let gateway = fixture.start(&rest).await;
    let asked = [("origin", APP), ("access-control-request-method", "GET")];
    let own = ["authorization", "cache-control", "content-type", "last-event-id"];
    let also = ["x-tenant", "datastar-request", "hx-target"];

    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        for (path, expected) in [("/plain/x", own.to_vec()), ("/named/x", [&own[..], &also].concat())] {
            let answer = client.try_request("OPTIONS", path, &asked).await.unwrap();
            assert_eq!(names(&answer, "access-control-allow-headers"), expected);
        }
    }
}

#[tokio::test]
async fn allowed_origins_can_read_responses_and_refusals() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}{}{}",
        route("plain", "/plain/{x}", CORS),
        route("tickets", "/tickets/{x}", &format!("tickets = true\n{CORS}")),
        route("closed", "/closed/{x}", ""),
    );
    let gateway = fixture.start(&rest).await;
    let good = bearer(&token(&json!({})));
    let client = fixture.client(Protocol::Http2, &gateway);

    // A preflight carries no credentials and needs none.
    for (path, methods) in [("/plain/x", vec!["get", "head"]), ("/tickets/x", vec!["get", "head", "post"])] {
        let asked = [
            ("origin", APP),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let answer = client.try_request("OPTIONS", path, &asked).await.unwrap();
        assert_eq!(answer.status.as_u16(), 204);
        assert_eq!(names(&answer, "access-control-allow-methods"), methods);
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        for name in ["authorization", "last-event-id"] {
            assert!(names(&answer, "access-control-allow-headers").contains(&name.to_owned()));
        }
        assert!(names(&answer, "vary").contains(&"origin".to_owned()));

        let foreign = [("origin", EVIL), ("access-control-request-method", "GET")];
        let answer = client.try_request("OPTIONS", path, &foreign).await.unwrap();
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-allow")));
    }
    let asked = [("origin", APP), ("access-control-request-method", "GET")];
    let closed = client.try_request("OPTIONS", "/closed/x", &asked).await.unwrap();
    assert!(!closed.headers.contains_key("access-control-allow-origin"));

    for (headers, status) in [
        (vec![("authorization", good.as_str()), ("origin", APP)], 200),
        (vec![("origin", APP)], 401),
        (vec![("authorization", "Bearer x"), ("origin", APP)], 401),
        (vec![("authorization", good.as_str()), ("origin", APP), ("accept", "text/html")], 406),
    ] {
        let answer = client.subscribe("/plain/x", &headers).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(names(&answer, "access-control-expose-headers").contains(&"rillgate-resume".to_owned()));
        assert!(names(&answer, "vary").contains(&"origin".to_owned()));
    }
    // A shared cache must not serve one origin's response to another, so a response without an origin varies too.
    let without = client.subscribe("/plain/x", &[("authorization", &good)]).await;
    assert!(names(&without, "vary").contains(&"origin".to_owned()));
}
