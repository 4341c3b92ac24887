//! Credentials stay between the client and the gateway.

use serde_json::{Value, json};

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, admin, bearer, route, token};
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::wait::DEADLINE;

#[tokio::test]
async fn no_credential_reaches_the_log_the_metrics_or_the_upstream() {
    let fixture = AuthFixture::new().await;
    let places = "token_from = [\"header\", \"cookie:session\", \"query:access_token\"]\ntickets = true";
    let rest = format!(
        "{}{}[log]\nsubject = true\n",
        route(
            "prices",
            "/prices/{symbol}",
            &format!(
                "{places}\n[routes.share]\nquery = [\"depth\"]\nheaders = [\"x-app\"]\nclaims = {{ x-user = \"sub\" }}"
            )
        ),
        route("shadow", "/shadow/{symbol}", &format!("{places}\nenforce = false")),
    );
    let config = fixture.config_with_main("5s", &rest);
    let gateway = Rillgate::start_with(&config, &[("RILLGATE_LOG", "trace")]).await;
    let mut secrets = Vec::new();
    let mut secret = |token: String| {
        secrets.push(token.clone());
        token
    };

    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        for path in ["/prices/x", "/shadow/x"] {
            for claims in [json!({}), json!({ "exp": 1 }), json!({ "aud": "other" }), json!({ "nbf": 4e9 as u64 })] {
                let (field, cookie, query) = (secret(token(&claims)), secret(token(&claims)), secret(token(&claims)));
                let cookie = format!("session={cookie}; other=cookie-of-another-application");
                let query = format!("{path}?access_token={query}&depth=3");
                client.subscribe(path, &[("authorization", &bearer(&field)), ("x-app", "a")]).await;
                client.subscribe(path, &[("cookie", &cookie)]).await;
                client.subscribe(&query, &[]).await;
                client.subscribe(&query, &[("authorization", &bearer(&field)), ("cookie", &cookie)]).await;
            }
            // A credential that is not a token can be a secret too, sent to the wrong place.
            let password = secret("hunter2-hunter2-hunter2".to_owned());
            client.subscribe(path, &[("authorization", &bearer(&password))]).await;
            client.subscribe(path, &[("authorization", &format!("Basic {password}"))]).await;

            let field = bearer(&secret(token(&json!({}))));
            let target = format!("{path}?ticket");
            let mut answer = client.try_request("POST", &target, &[("authorization", &field)]).await.unwrap();
            let body: Value = serde_json::from_str(&answer.text().await).unwrap();
            let url = body["url"].as_str().unwrap().to_owned();
            secret(url.split_once("ticket=").unwrap().1.to_owned());
            for _ in 0..2 {
                client.subscribe(&format!("{url}&depth=3"), &[]).await;
            }
        }
    }
    let revoked = secret("jti-of-a-revoked-token".to_owned());
    assert_eq!(admin(&gateway, "POST", "/revocations", &json!({ "jti": revoked }).to_string()).await.0, 200);
    fixture.origin.emit(Emission::event("1", "", "x"));
    gateway.signal("HUP");
    gateway.wait_line("configuration reloaded", DEADLINE).await;
    let metrics = Metrics::of(&gateway).await.0;
    let (_, streams) = admin(&gateway, "GET", "/streams", "").await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(DEADLINE).await.success());

    let log = gateway.log().join("\n");
    let upstream = format!("{:?}", fixture.origin.requests());
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log has no detail");
    assert!(upstream.contains("x-user") && upstream.contains("depth=3"), "{upstream}");
    assert!(metrics.contains("rillgate_auth_failures_total") && streams.contains("/prices/x"));
    secrets.push("cookie-of-another-application".to_owned());
    assert!(secrets.len() > 40);
    for secret in &secrets {
        // A leaked signature or payload alone would do harm too.
        for part in secret.split('.').filter(|part| part.len() > 20 && !part.starts_with("eyJhbGci")) {
            for (place, text) in [("log", &log), ("metrics", &metrics), ("upstream", &upstream), ("streams", &streams)]
            {
                assert!(!text.contains(part), "{part} in {place}");
            }
        }
    }
    for name in ["authorization", "cookie", "access_token", "ticket="] {
        assert!(!upstream.contains(name), "{name} was sent upstream");
    }
    assert!(!log.contains("cookie-of-another-application") && !upstream.contains("cookie-of-another-application"));
}
