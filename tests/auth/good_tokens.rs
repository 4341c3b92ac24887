//! Tokens that must be accepted.

use jsonwebtoken::Algorithm;
use rillgate::auth::mint::{SigningKey, TokenSpec, mint};
use rillgate::auth::{ClaimPath, Denied, KeySource, TokenFault};
use rillgate::secret::Secret;
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use crate::support::*;

#[tokio::test]
async fn every_algorithm_is_accepted_with_its_own_key() {
    let directory = tempdir().expect("a directory");
    let keys = keys();
    let secret: Vec<u8> = (0..64).collect();
    for (algorithm, pair) in [
        (Algorithm::RS256, Some(&keys.rsa)),
        (Algorithm::RS384, Some(&keys.rsa)),
        (Algorithm::RS512, Some(&keys.rsa)),
        (Algorithm::PS256, Some(&keys.rsa)),
        (Algorithm::PS384, Some(&keys.rsa)),
        (Algorithm::PS512, Some(&keys.rsa)),
        (Algorithm::ES256, Some(&keys.ec)),
        (Algorithm::ES384, Some(&keys.ec384)),
        (Algorithm::EdDSA, Some(&keys.ed)),
        (Algorithm::HS256, None),
        (Algorithm::HS384, None),
        (Algorithm::HS512, None),
    ] {
        let (source, key) = match pair {
            Some(pair) => {
                let path = write(directory.path(), &format!("{algorithm:?}.pem"), pair.public_key_pem());
                (KeySource::PemFile { path, algorithm, kid: None }, signing(pair, algorithm))
            }
            None => (
                KeySource::Secret { secret: Secret::new(secret.clone()), algorithm, kid: None },
                SigningKey::read(&secret, Some(algorithm)).expect("a secret"),
            ),
        };
        let trust_store = trust_store(vec![issuer_settings("main", ISSUER, vec![source])]);
        let mut rules = rules();
        rules.issuers = vec!["main".to_owned()];
        let authorizer = authorizer(&trust_store, rules);
        let spec = TokenSpec {
            issuer: ISSUER.to_owned(),
            audience: vec!["rillgate".to_owned()],
            subject: Some("alice".to_owned()),
            ttl: std::time::Duration::from_secs(60),
            claims: Map::new(),
            kid: None,
            typ: None,
        };
        let token = mint(&key, &spec, now()).expect("a token");

        let grant = authorize(&authorizer, &bearer(&token), now()).await;

        let grant = grant.unwrap_or_else(|denied| panic!("{algorithm:?}: {denied:?}"));
        assert_eq!(grant.subject().map(AsRef::as_ref), Some("alice"));
        assert_eq!(grant.expires_at(), now() + std::time::Duration::from_secs(65), "exp and the leeway");
        assert!(grant.token_id().is_some());
    }
}

#[tokio::test]
async fn every_allowed_form_of_a_valid_token_is_accepted() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&trust_store(issuers(directory.path())), rules());
    let ec = signing(&keys().ec, Algorithm::ES256);
    let ec384 = signing(&keys().ec384, Algorithm::ES384);
    let es = |claims: Value| ec.sign(br#"{"alg":"ES256","kid":"ec"}"#, claims.to_string().as_bytes()).expect("a token");
    let raw = |claims: &str| ec.sign(br#"{"alg":"ES256","kid":"ec"}"#, claims.as_bytes()).expect("a token");
    let header = |header: &str| ec.sign(header.as_bytes(), claims().to_string().as_bytes()).expect("a token");
    let second = |header: &str| {
        let mut claims = with("iss", json!(SECOND));
        claims["aud"] = json!("second");
        ec384.sign(header.as_bytes(), claims.to_string().as_bytes()).expect("a token")
    };
    for (what, token) in [
        ("one audience of several", es(with("aud", json!(["other", "rillgate"])))),
        ("a list of one", es(with("aud", json!(["rillgate"])))),
        ("a fraction in exp", es(with("exp", json!(*NOW as f64 + 0.5)))),
        (
            "exp with an exponent",
            raw(&claims().to_string().replace(&(*NOW + 600).to_string(), &format!("{:e}", (*NOW + 600) as f64))),
        ),
        ("just within the leeway", es(with("exp", json!(*NOW - 4)))),
        ("nbf has been reached", es(with("nbf", json!(*NOW)))),
        ("nbf within the leeway", es(with("nbf", json!(*NOW + 5)))),
        ("iat ahead", es(with("iat", json!(*NOW + 5)))),
        ("nbf in 1970", es(with("nbf", json!(0)))),
        ("no subject", es(without("sub"))),
        ("no jti", es(without("jti"))),
        ("an unknown claim", es(with("x", json!({ "exp": "never", "deep": [[{}]] })))),
        ("Unicode", es(with("sub", json!("ålice 🦀 \u{202e}")))),
        ("a member's name written with an escape", raw(&claims().to_string().replace("\"exp\"", "\"\\u0065xp\""))),
        ("white space in the JSON", raw(&claims().to_string().replace(',', " ,\r\n\t"))),
        ("no kid, but one key for the algorithm", header(r#"{"alg":"ES256"}"#)),
        ("any typ where none is required", header(r#"{"alg":"ES256","kid":"ec","typ":"anything"}"#)),
        ("a thumbprint", header(r#"{"alg":"ES256","kid":"ec","x5t":"abc","x5t#S256":"abc"}"#)),
        ("an unknown header member", header(r#"{"alg":"ES256","kid":"ec","nonce":"abc"}"#)),
        ("a kid, where the only key has none", second(r#"{"alg":"ES384","typ":"at+jwt","kid":"second"}"#)),
        ("the required typ", second(r#"{"alg":"ES384","typ":"at+jwt"}"#)),
        ("the required typ in full", second(r#"{"alg":"ES384","typ":"application/AT+JWT"}"#)),
    ] {
        let decision = authorize(&authorizer, &bearer(&token), now()).await;

        assert!(decision.is_ok(), "{what}: {decision:?}");
    }
}

#[tokio::test]
async fn another_claim_replaces_the_audience_only_if_aud_is_absent() {
    let directory = tempdir().expect("a directory");
    let mut settings = issuers(directory.path());
    settings[0].audience_claim = Some(ClaimPath::parse("client_id").expect("a claim"));
    let authorizer = authorizer(&trust_store(settings), rules());
    let ec = signing(&keys().ec, Algorithm::ES256);
    let decide = async |aud: Option<Value>, client_id: Option<Value>| {
        let mut claims = without("aud");
        claims.as_object_mut().expect("an object").extend(
            [("aud", aud), ("client_id", client_id)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        let token = ec.sign(br#"{"alg":"ES256","kid":"ec"}"#, claims.to_string().as_bytes()).expect("a token");
        let granted = authorize(&authorizer, &bearer(&token), now()).await?;
        // A token that is accepted must also pass the recheck after a reload.
        authorizer.recheck(&granted, requested(), now()).map(|_| ())
    };

    assert_eq!(decide(None, Some(json!("rillgate"))).await, Ok(()));
    assert_eq!(decide(None, Some(json!(["x", "rillgate"]))).await, Ok(()));
    assert_eq!(decide(Some(json!("rillgate")), None).await, Ok(()));
    assert_eq!(decide(Some(json!("rillgate")), Some(json!("other"))).await, Ok(()));
    let audience = Err(Denied::Invalid(TokenFault::Audience));
    assert_eq!(decide(Some(json!("other")), Some(json!("rillgate"))).await, audience);
    assert_eq!(decide(Some(json!([])), Some(json!("rillgate"))).await, audience);
    assert_eq!(decide(None, Some(json!("other"))).await, audience);
    let claims = Err(Denied::Invalid(TokenFault::Claims));
    assert_eq!(decide(Some(json!(null)), Some(json!("rillgate"))).await, claims);
    assert_eq!(decide(Some(json!(7)), Some(json!("rillgate"))).await, claims);
    assert_eq!(decide(None, Some(json!({ "rillgate": true }))).await, claims);
    assert_eq!(decide(None, None).await, claims);
}
