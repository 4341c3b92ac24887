//! Tokens on routes that forward: checked, passed on, and from cookies only with a known origin.

use serde_json::json;

use crate::fixture::{PROTOCOLS, Site, config, full, get, send, start, token};
use crate::support::client::Client;

const ROUTE: &str = "[[routes]]\nname = \"site\"\npath = \"/{*rest}\"\nupstream = \"app\"\n\
    [routes.auth]\nissuers = [\"main\"]\ntoken_from = [\"header\", \"cookie:session\"]\n[routes.forward]\n";

#[tokio::test]
async fn a_token_is_needed_checked_and_passed_on() {
    let site = Site::start().await;
    let gateway = start(&config(&site.url(), ROUTE)).await;

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        let bearer = format!("Bearer {}", token(&json!({})));
        let old = format!("Bearer {}", token(&json!({ "exp": 1 })));
        let seen = send(&client, "POST", "/echo", &[("authorization", &bearer)], full("x")).await.unwrap().json();
        assert_eq!(seen["headers"]["authorization"], json!(bearer));

        for (headers, reason) in [(vec![], "no_token"), (vec![("authorization", old.as_str())], "invalid_token")] {
            for method in ["GET", "POST", "OPTIONS"] {
                let refused = send(&client, method, "/echo", &headers, full("")).await.unwrap();
                assert_eq!((refused.status.as_u16(), refused.reason()), (401, reason.to_owned()), "{protocol:?}");
            }
        }
    }
    assert_eq!(site.stats().await["requests"], json!(3), "refused requests are not sent on");
}

#[tokio::test]
async fn a_cookie_counts_only_from_a_page_of_a_known_origin() {
    let site = Site::start().await;
    let toml = config(
        &site.url(),
        &format!("{ROUTE}[routes.cors]\norigins = [\"https://app.example\"]\ncredentials = true\n"),
    );
    let gateway = start(&toml).await;
    let cookie = format!("session={}", token(&json!({})));
    let own = format!("http://localhost:{}", gateway.address().port());

    for protocol in PROTOCOLS {
        let client = Client::new(protocol, gateway.address());
        for (origin, status) in [
            (None, 200),
            (Some(own.as_str()), 200),
            (Some("https://app.example"), 200),
            (Some("https://evil.example"), 403),
            (Some("null"), 403),
        ] {
            let mut headers = vec![("cookie", cookie.as_str())];
            headers.extend(origin.map(|origin| ("origin", origin)));
            for method in ["GET", "POST", "DELETE"] {
                let answer = send(&client, method, "/echo", &headers, full("")).await.unwrap();
                assert_eq!(answer.status.as_u16(), status, "{protocol:?} {method} from {origin:?}");
            }
        }
        let site_alone = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(get(&client, "/echo", &site_alone).await.status, 403);
    }
}
