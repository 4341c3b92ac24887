//! The locations and the length of a token: several cookies, an access proxy's header, 16 KiB.

use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, bearer, in_seconds, route, token};
use super::reload::reload;
use crate::support::client::Protocol;
use crate::support::server::Rillgate;

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn the_first_valid_of_several_cookies_of_one_name_counts() {
    let fixture = AuthFixture::new().await;
    let auth = "token_from = [\"cookie:session\"]\nstreams_claim = \"streams\"";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    let good = token(&json!({ "streams": ["/prices/*"] }));
    let expired = token(&json!({ "streams": ["/prices/*"], "exp": in_seconds(-600.0) }));
    let narrow = token(&json!({ "streams": ["/news"] }));
    let foreign = "s%3Aabc.def%2Bghi";
    let cases: [(Vec<&str>, u16); 10] = [
        (vec![&good, &good], 200),
        (vec![&expired, &good], 200),
        (vec![&good, &expired], 200),
        (vec![foreign, &good], 200),
        (vec!["", &good], 200),
        (vec!["a", "b", "c", "d", "e", "f", &good], 200),
        (vec![&narrow, &good], 403),
        (vec![foreign, &expired], 401),
        (vec![&expired, &expired], 401),
        (vec!["", ""], 401),
    ];

    for protocol in PROTOCOLS {
        for (values, status) in &cases {
            let pairs: Vec<_> = values.iter().map(|value| format!("session={value}")).collect();
            let one_field = pairs.join("; ");
            let fields: Vec<_> = pairs.iter().map(|pair| ("cookie", pair.as_str())).collect();
            for headers in [vec![("cookie", one_field.as_str())], fields] {
                let mut answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
                assert_eq!(answer.status.as_u16(), *status, "{protocol:?} {values:?}");
                if *status != 200 {
                    answer.text().await;
                }
            }
        }
    }
    let counted = Metrics::of(&gateway).await;
    let failures = counted.by("rillgate_auth_failures_total", "reason");
    assert_eq!(failures["expired"], 8.0, "another application's cookie was counted as expired");
}

#[tokio::test]
async fn at_most_four_cookies_are_verified() {
    let fixture = AuthFixture::new().await;
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", "token_from = [\"cookie:session\"]")).await;
    let expired: Vec<_> = (0..4).map(|number| token(&json!({ "exp": 1000 + number }))).collect();
    let good = token(&json!({}));
    let ask = async |tokens: &[&str]| {
        let pairs: Vec<_> = tokens.iter().map(|token| format!("session={token}")).collect();
        let cookie = pairs.join("; ");
        fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &[("cookie", &cookie)]).await.status.as_u16()
    };

    assert_eq!(ask(&[&expired[0], &expired[1], &expired[2], &good]).await, 200);
    assert_eq!(ask(&[&expired[0], &expired[1], &expired[2], &expired[3], &good]).await, 401);
}

#[tokio::test]
async fn an_access_proxy_header_is_a_credential_like_a_cookie() {
    let fixture = AuthFixture::new().await;
    let auth = format!(
        "token_from = [\"header\", \"header:Cf-Access-Jwt-Assertion\", \"cookie:session\"]\n[routes.cors]\norigins = [\"{APP}\"]"
    );
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", &auth)).await;
    let good = token(&json!({}));
    let (field, cookie, broken) = (bearer(&good), format!("session={good}"), "x.y.z".to_owned());
    let assertion = "cf-access-jwt-assertion";
    let cases: [(Vec<(&str, &str)>, u16); 12] = [
        (vec![(assertion, &good)], 200),
        (vec![(assertion, &field)], 200),
        // Where the header is present, no other token counts, valid or not.
        (vec![(assertion, &good), ("authorization", "Bearer x"), ("cookie", &cookie)], 200),
        (vec![(assertion, &broken), ("authorization", &field)], 401),
        (vec![(assertion, ""), ("authorization", &field)], 401),
        (vec![(assertion, &good), (assertion, &good)], 401),
        (vec![("authorization", &field)], 200),
        (vec![("authorization", &field), ("cookie", &cookie)], 400),
        // The access proxy adds the header to requests of every page, so the origin is checked as for a cookie.
        (vec![(assertion, &good), ("origin", APP)], 200),
        (vec![(assertion, &good), ("origin", "https://evil.example.com")], 403),
        (vec![(assertion, &good), ("sec-fetch-site", "cross-site")], 403),
        (vec![(assertion, &good), ("sec-fetch-site", "same-origin")], 200),
    ];

    for protocol in PROTOCOLS {
        for (headers, status) in &cases {
            let answer = fixture.client(protocol, &gateway).subscribe("/prices/x", headers).await;
            assert_eq!(answer.status.as_u16(), *status, "{protocol:?} {headers:?}");
        }
    }
    assert!(fixture.origin.requests().iter().all(|request| request.header(assertion).is_none()));
}

#[tokio::test]
async fn a_token_of_16_kib_is_accepted_in_every_location() {
    let fixture = AuthFixture::new().await;
    let auth = "token_from = [\"header\", \"header:x-jwt\", \"cookie:session\", \"query:access_token\"]";
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", auth)).await;
    let padded = |bytes: usize| token(&json!({ "groups": "x".repeat(bytes) }));
    let bare = padded(0).len();
    let large = padded((16 * 1024 - bare) / 4 * 3 - 3);
    let larger = padded((16 * 1024 - bare) / 4 * 3 + 3);
    assert!((16_370..=16_384).contains(&large.len()) && (16_385..16_400).contains(&larger.len()));

    for protocol in PROTOCOLS {
        for (token, status) in [(&large, 200), (&larger, 401)] {
            let (field, cookie) = (bearer(token), format!("theme=dark; session={token}"));
            let in_query = format!("/prices/x?access_token={token}");
            for (target, headers) in [
                ("/prices/x", vec![("authorization", field.as_str())]),
                ("/prices/x", vec![("x-jwt", token.as_str())]),
                ("/prices/x", vec![("cookie", cookie.as_str())]),
                (in_query.as_str(), vec![]),
            ] {
                let mut answer = fixture.client(protocol, &gateway).subscribe(target, &headers).await;
                let location = headers.first().map_or("query", |(name, _)| name);
                assert_eq!(answer.status.as_u16(), status, "{protocol:?} {location}");
                if status == 401 {
                    let text = answer.text().await;
                    assert!(text.contains("\"reason\":\"too_large\"") && text.contains("token_bytes"), "{text}");
                    assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
                }
            }
        }
    }
    let counted = Metrics::of(&gateway).await;
    assert_eq!(counted.by("rillgate_auth_failures_total", "reason")["too_large"], 8.0);
    assert_eq!(counted.sum("rillgate_rejections_total", &[("reason", "too_large")]), 8.0);
}

#[tokio::test]
async fn token_bytes_is_configurable_and_reloadable() {
    let fixture = AuthFixture::new().await;
    let config = |bytes: &str| {
        let prices = route("prices", "/prices/{symbol}", "");
        fixture.config_with_main("5s", &format!("{prices}\n[limits]\ntoken_bytes = \"{bytes}\""))
    };
    let gateway = Rillgate::start(&config("1KiB")).await;
    let field = bearer(&token(&json!({ "groups": "x".repeat(2000) })));
    let ask = async || {
        let client = fixture.client(Protocol::Http1, &gateway);
        client.subscribe("/prices/x", &[("authorization", &field)]).await.status.as_u16()
    };

    assert_eq!(ask().await, 401);
    reload(&gateway, &config("4KiB")).await;
    assert_eq!(ask().await, 200);
}
