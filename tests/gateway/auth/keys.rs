//! Keys from a URL: while they are missing, over TLS, and while the issuer is unreachable.

use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, admin, bearer, route, token, token_by, wait_metric};
use super::support::{ISSUER, keys};
use crate::support::client::Protocol;
use crate::support::origin::{Emission, Origin};
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;

/// Returns a response with a JWKS of these EC keys.
pub fn jwks(keys: &[(&str, &KeyPair)]) -> Answer {
    let jwk = |(kid, pair): &(&str, &KeyPair)| {
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        jwk
    };
    let document = json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() });
    Answer::status(200).header("content-type", "application/jwk-set+json").then(document.to_string())
}

/// Returns the configuration of a gateway whose issuer `main` publishes its keys at `id`.
pub fn config(fixture: &AuthFixture, id: &Origin, refresh: &str, rest: &str) -> String {
    let main = format!(
        r#"
        [issuers.main]
        issuer = "{ISSUER}"
        audience = ["rillgate"]
        keys = [{{ jwks_url = "{}/jwks.json", refresh = "{refresh}" }}]
        {rest}
        "#,
        id.url().replace("127.0.0.1", "localhost"),
    );
    fixture.config(&main)
}

#[tokio::test]
async fn clients_get_503_with_retry_after_while_keys_are_missing() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| Answer::status(503)).await;
    let auth = "[routes.cors]\norigins = [\"https://app.example.com\"]";
    let gateway = Rillgate::start(&config(&fixture, &id, "1s", &route("prices", "/prices/{symbol}", auth))).await;
    let good = bearer(&token(&json!({})));

    for protocol in PROTOCOLS {
        let headers = [("authorization", good.as_str()), ("origin", "https://app.example.com")];
        let mut answer = fixture.client(protocol, &gateway).subscribe("/prices/x", &headers).await;
        assert_eq!(answer.status.as_u16(), 503);
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
        assert!(answer.text().await.contains("\"reason\":\"keys_unavailable\""));
    }
    let (status, text) = admin(&gateway, "GET", "/readyz", "").await;
    assert_eq!(status, 503);
    assert!(text.contains("issuer main") && text.contains("keys"), "{text}");
    assert_eq!(admin(&gateway, "GET", "/livez", "").await.0, 200);
    assert_eq!(fixture.origin.connections().total, 0);
    let counted = Metrics::of(&gateway).await;
    assert_eq!(counted.sum("rillgate_auth_failures_total", &[("reason", "keys_unavailable")]), 2.0);
    assert!(counted.sum("rillgate_jwks_refreshes_total", &[("issuer", "main"), ("result", "status")]) >= 1.0);

    id.answer(|_| jwks(&[("ec", &keys().ec)]));

    eventually(DEADLINE, || async { admin(&gateway, "GET", "/readyz", "").await.0 == 200 }).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &good)]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_client_with_an_unknown_key_is_told_when_the_next_fetch_is_allowed() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("ec", &keys().ec)])).await;
    let gateway = Rillgate::start(&config(&fixture, &id, "1h", &route("prices", "/prices/{symbol}", ""))).await;
    let client = fixture.client(Protocol::Http1, &gateway);

    let mut number = 0;
    let refused = loop {
        let made_up = bearer(&token_by(&format!("made-up-{number}"), &keys().foreign_ec, &json!({})));
        let answer = client.subscribe("/prices/x", &[("authorization", &made_up)]).await;
        if answer.status.as_u16() != 401 {
            break answer;
        }
        number += 1;
        assert!(number < 20, "unknown keys cause any number of fetches");
    };

    assert_eq!(refused.status.as_u16(), 503);
    // A token every ten seconds, and the first one was taken a moment ago.
    assert!((3..=10).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_a_trusted_server() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_tls(&fixture.identity).await;
    id.answer(|_| jwks(&[("ec", &keys().ec)]));
    let config = config(&fixture, &id, "5m", &route("prices", "/prices/{symbol}", ""));
    let trusted = fixture.authority.file().display().to_string();
    let other = crate::support::certificates::Authority::new();
    let untrusted = other.file().display().to_string();
    let good = bearer(&token(&json!({})));

    for (roots, status, result) in [(trusted, 200, "ok"), (untrusted, 503, "tls")] {
        let environment = [("SSL_CERT_FILE", roots.as_str()), ("SSL_CERT_DIR", "")];
        let gateway = Rillgate::start_with(&config, &environment).await;
        let client = fixture.client(Protocol::Http2, &gateway);
        let answer = client.subscribe("/prices/x", &[("authorization", &good)]).await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(Metrics::of(&gateway).await.sum("rillgate_jwks_refreshes_total", &[("result", result)]) >= 1.0);
    }

    let request = &id.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/jwks.json"));
    assert!(request.header("authorization").is_none() && request.header("cookie").is_none());
}

#[tokio::test]
async fn an_unreachable_issuer_is_harmless_and_a_removed_key_ends_its_streams() {
    const EACH: usize = 100;
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("old", &keys().ec), ("new", &keys().foreign_ec)])).await;
    let rest = format!("{}\n[limits]\nsubscriptions_per_subject = 1000", route("prices", "/prices/{symbol}", ""));
    let gateway = Rillgate::start(&config(&fixture, &id, "1s", &rest)).await;
    let old = bearer(&token_by("old", &keys().ec, &json!({})));
    let new = bearer(&token_by("new", &keys().foreign_ec, &json!({})));
    let mut connection = fixture.client(Protocol::Http2, &gateway).connect().await.unwrap();
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        olds.push(connection.subscribe("/prices/x", &[("authorization", &old)]).await);
        news.push(connection.subscribe("/prices/x", &[("authorization", &new)]).await);
    }

    id.refuse(503);
    let failed = [("issuer", "main"), ("result", "status")];
    eventually(DEADLINE, || async { Metrics::of(&gateway).await.sum("rillgate_jwks_refreshes_total", &failed) >= 2.0 })
        .await;

    assert_eq!(admin(&gateway, "GET", "/readyz", "").await.0, 200);
    olds.push(fixture.client(Protocol::Http1, &gateway).subscribe("/prices/x", &[("authorization", &old)]).await);
    fixture.origin.wait_open(1).await;
    fixture.origin.emit(Emission::event("1", "", "all is well"));
    for client in olds.iter_mut().chain(&mut news) {
        assert_eq!(client.next_event(DEADLINE).await.data, "all is well");
    }

    id.answer(|_| jwks(&[("new", &keys().foreign_ec)]));

    for client in &mut olds {
        assert!(client.expect_end(DEADLINE).await.is_empty());
    }
    let ended = [("reason", "revoked")];
    wait_metric(&gateway, "rillgate_subscriptions_ended_total", &ended, (EACH + 1) as f64).await;
    assert_eq!(Metrics::of(&gateway).await.sum("rillgate_subscribers", &[]), EACH as f64);
    fixture.origin.emit(Emission::event("2", "", "still here"));
    for client in &mut news {
        assert_eq!(client.next_event(DEADLINE).await.data, "still here");
    }
    let refused = connection.subscribe("/prices/x", &[("authorization", &old)]).await;
    assert_eq!(refused.status.as_u16(), 401);
}
