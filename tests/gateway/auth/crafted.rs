//! The crafted tokens of `tests/auth`, sent to a gateway.

use std::collections::BTreeMap;

use super::bad_tokens;
use super::fixture::{AuthFixture, Metrics, PROTOCOLS, bearer};
use super::support::{NOW, SECOND};

#[tokio::test]
async fn every_crafted_token_is_refused_and_counted_under_its_reason() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        r#"
        [issuers.second]
        issuer = "{SECOND}"
        audience = ["second"]
        typ = "at+jwt"
        keys = [{{ pem_file = "{}", algorithm = "ES384" }}]
        [issuers.elsewhere]
        issuer = "https://elsewhere.example.com/"
        audience = ["rillgate"]
        keys = [{{ pem_file = "{}", algorithm = "EdDSA" }}]
        [[routes]]
        name = "prices"
        path = "/prices/{{symbol}}"
        upstream = "origin"
        auth = {{ issuers = ["main", "second"] }}
        "#,
        fixture.file("second.pem"),
        fixture.file("ed.pem"),
    );
    let gateway = fixture.start(&rest).await;
    // These become valid one second after the leeway, which may have passed by the time they are sent.
    let about_to_be = [format!("nbf {}", *NOW + 6), format!("nbf {}", *NOW as f64 + 5.001)];
    let sendable = |token: &str| {
        // Leading spaces would be parsed as part of the header field, and request heads have their own limit.
        token.len() < 20_000 && !token.starts_with(' ') && http::HeaderValue::from_str(&bearer(token)).is_ok()
    };
    let crafted: Vec<_> = bad_tokens::all()
        .into_iter()
        .filter(|(what, token, _)| sendable(token) && !about_to_be.contains(what))
        .collect();
    assert!(crafted.len() >= 300, "only {} tokens", crafted.len());

    let mut wrong = Vec::new();
    let mut expected = BTreeMap::new();
    for protocol in PROTOCOLS {
        let mut connection = fixture.client(protocol, &gateway).connect().await.unwrap();
        for (what, token, reason) in &crafted {
            let answer = connection.subscribe("/prices/EURUSD", &[("authorization", &bearer(token))]).await;
            let (status, challenge) = (answer.status.as_u16(), answer.header("www-authenticate").to_owned());
            if status != 401 || !challenge.contains("error=\"invalid_token\"") {
                wrong.push(format!("{protocol:?}, {what}: {status} {challenge}"));
            }
            *expected.entry((*reason).to_owned()).or_insert(0.0) += 1.0;
            // The next request on this connection needs this response to be complete.
            let mut answer = answer;
            answer.text().await;
        }
    }

    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), crafted.len(), wrong.join("\n"));
    assert_eq!(Metrics::of(&gateway).await.by("rillgate_auth_failures_total", "reason"), expected);
    assert_eq!(fixture.origin.connections().total, 0, "the origin was contacted");
    let good = bearer(&bad_tokens::good());
    let admitted =
        fixture.client(PROTOCOLS[0], &gateway).subscribe("/prices/EURUSD", &[("authorization", &good)]).await;
    assert_eq!(admitted.status.as_u16(), 200, "the unmodified token is refused too");
}
