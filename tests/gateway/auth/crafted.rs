//! The crafted tokens of the module's tests, sent to a gateway.

use std::collections::BTreeMap;

use super::bad_tokens;
use super::support::{NOW, SECOND};
use super::world::{Metrics, PROTOCOLS, World, bearer};

#[tokio::test]
async fn every_crafted_token_is_refused_and_counted_under_its_reason() {
    let world = World::new().await;
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
        world.file("second.pem"),
        world.file("ed.pem"),
    );
    let gateway = world.start(&rest).await;
    // Those that are not valid yet for a second more than the leeway would be by now.
    let about_to_be = [format!("nbf {}", *NOW + 6), format!("nbf {}", *NOW as f64 + 5.001)];
    let sendable = |token: &str| {
        // Spaces before the token would belong to the header, and a head has its own limit.
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
        let mut connection = world.client(protocol, &gateway).connect().await.unwrap();
        for (what, token, reason) in &crafted {
            let answer = connection.subscribe("/prices/EURUSD", &[("authorization", &bearer(token))]).await;
            let (status, challenge) = (answer.status.as_u16(), answer.header("www-authenticate").to_owned());
            if status != 401 || !challenge.contains("error=\"invalid_token\"") {
                wrong.push(format!("{protocol:?}, {what}: {status} {challenge}"));
            }
            *expected.entry((*reason).to_owned()).or_insert(0.0) += 1.0;
            // The next request on this connection needs this answer to be over.
            let mut answer = answer;
            answer.text().await;
        }
    }

    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), crafted.len(), wrong.join("\n"));
    assert_eq!(Metrics::of(&gateway).await.by("rillgate_auth_failures_total", "reason"), expected);
    assert_eq!(world.origin.connections().total, 0, "the origin was contacted");
    let good = bearer(&bad_tokens::good());
    let let_in = world.client(PROTOCOLS[0], &gateway).subscribe("/prices/EURUSD", &[("authorization", &good)]).await;
    assert_eq!(let_in.status.as_u16(), 200, "the table is about a token that is good");
}
