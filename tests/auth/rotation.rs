//! Keys that change while the gateway runs, from a real server and from files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use rcgen::KeyPair;
use rillgate::auth::{Authorizer, Denied, GrantStatus, Issuer, KeySource, KeysState, TokenFault, TrustStore, fetch};
use rillgate::runtime::resolver::Resolver;
use rustls::RootCertStore;
use serde_json::json;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::key_server::{KeyServer, jwks, ok, status};
use crate::support::*;

pub fn token(kid: &str, pair: &KeyPair, algorithm: Algorithm) -> String {
    let header = json!({ "alg": algorithm, "kid": kid }).to_string();
    signing(pair, algorithm).sign(header.as_bytes(), claims().to_string().as_bytes()).expect("a token")
}

fn es256_without_kid(pair: &KeyPair) -> String {
    let signing = signing(pair, Algorithm::ES256);
    signing.sign(br#"{"alg":"ES256"}"#, claims().to_string().as_bytes()).expect("a token")
}

pub struct Gateway {
    pub trust_store: Arc<TrustStore>,
    authorizer: Authorizer,
    pub issuer: Arc<Issuer>,
    _running: JoinSet<()>,
}

fn resolver() -> Resolver {
    Resolver::new(Arc::new(|| ()))
}

impl Gateway {
    pub fn start(source: KeySource, roots: RootCertStore) -> Self {
        let trust_store = trust_store(vec![issuer_settings("main", ISSUER, vec![source])]);
        let mut rules = rules();
        rules.issuers = vec!["main".to_owned()];
        let authorizer = authorizer(&trust_store, rules);
        let issuer = Arc::clone(&trust_store.issuers()["main"]);
        let mut running = JoinSet::new();
        let runs = Arc::clone(&issuer);
        running.spawn(async move { runs.run(fetch::tls_trusting(roots), resolver()).await });
        Self { trust_store, authorizer, issuer, _running: running }
    }

    fn following(url: url::Url, refresh: Duration) -> Self {
        keys();
        Self::start(KeySource::JwksUrl { url, refresh, authorities: None }, RootCertStore::empty())
    }

    pub async fn decide(&self, token: &str) -> Result<rillgate::auth::Grant, Denied> {
        authorize(&self.authorizer, &bearer(token), now()).await
    }
}

const SELDOM: Duration = Duration::from_secs(300);
const OFTEN: Duration = Duration::from_millis(100);

/// Waits up to ten seconds for a condition that has no signal.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_at_its_first_token_and_a_removed_one_ends_its_grants() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    let first = gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("waits for the first fetch");
    assert_eq!(gateway.issuer.state(), KeysState::Good);

    let begun = Instant::now();
    for (round, (kid, pair, algorithm)) in
        [("two", &keys().rsa, Algorithm::RS256), ("three", &keys().foreign_ec, Algorithm::ES256)]
            .into_iter()
            .enumerate()
    {
        server.answer(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256), (kid, pair, algorithm)])));
        gateway.decide(&token(kid, pair, algorithm)).await.expect("the key that has just been published");
        assert_eq!(server.asked(), round + 2);
        assert_eq!(gateway.trust_store.status(&first, now()), GrantStatus::Valid);
    }
    let mut changed = gateway.trust_store.subscribe();
    server.answer(ok(&jwks(&[("four", &keys().foreign_rsa, Algorithm::RS256)])));
    gateway.decide(&token("four", &keys().foreign_rsa, Algorithm::RS256)).await.expect("the only key left");

    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(changed.has_changed().expect("a sender"));
    changed.mark_unchanged();
    assert_eq!(gateway.trust_store.status(&first, now()), GrantStatus::KeyRemoved);
    let old = gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.map(|_| ());
    assert_eq!(old, Err(TokenFault::UnknownKey.into()));
}

#[tokio::test]
async fn ten_thousand_unknown_kids_cause_six_fetches_and_are_told_to_come_back() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
    let signed = token("one", &keys().ec, Algorithm::ES256);
    let (_, rest) = signed.split_once('.').expect("three parts");
    let mut refused_for_good = 0;

    for hundred in 0..100 {
        let tokens = (0..100).map(|number| {
            let header = json!({ "alg": "ES256", "kid": format!("k{hundred}-{number}") });
            format!("{}.{rest}", part(&header))
        });
        let decisions = tokens.map(async |token| gateway.decide(&token).await.map(|_| ()));
        for decision in futures_util::future::join_all(decisions).await {
            match decision {
                Err(Denied::Unavailable | Denied::FetchRefused(_)) => {}
                decision => {
                    assert_eq!(decision, Err(TokenFault::UnknownKey.into()));
                    refused_for_good += 1;
                }
            }
        }
    }

    assert!((2..=7).contains(&server.asked()), "{} fetches", server.asked());
    assert!(refused_for_good <= 600, "{refused_for_good} were refused after a fetch");
    assert!(gateway.decide(&signed).await.is_ok());
}

#[tokio::test]
async fn a_new_key_is_found_although_unknown_kids_use_up_the_fetches() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), Duration::from_millis(300));
    gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
    let made_up = async |number: usize| {
        gateway.decide(&token(&format!("made-up-{number}"), &keys().foreign_ec, Algorithm::ES256)).await.map(|_| ())
    };
    let mut number = 0;
    while !matches!(made_up(number).await, Err(Denied::FetchRefused(_))) {
        number += 1;
        assert!(number < 1000, "the fetches are never used up");
    }

    server.answer(ok(&jwks(&[("two", &keys().rsa, Algorithm::RS256)])));

    let begun = Instant::now();
    let good = token("two", &keys().rsa, Algorithm::RS256);
    loop {
        number += 1;
        let _ = made_up(number).await;
        match gateway.decide(&good).await {
            Ok(_) => break,
            // A client must come back.
            Err(Denied::FetchRefused(wait)) => assert!(wait <= Duration::from_millis(300), "{wait:?}"),
            Err(denied) => assert_eq!(denied, Denied::Unavailable),
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_token_whose_key_cannot_be_fetched_is_not_refused_for_good() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
    let good = token("two", &keys().foreign_ec, Algorithm::ES256);

    server.answer(status("503 Service Unavailable"));
    assert_eq!(gateway.decide(&good).await.map(|_| ()), Err(Denied::Unavailable));

    server.answer(ok(&jwks(&[("two", &keys().foreign_ec, Algorithm::ES256)])));
    assert!(gateway.decide(&good).await.is_ok());
}

#[tokio::test]
async fn a_token_refused_without_its_key_causes_no_fetch() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");

    for (token, fault) in [
        (token("one", &keys().foreign_ec, Algorithm::ES256), TokenFault::Signature),
        (
            hmac(
                &format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "x" })), part(&claims())),
                b"",
                Algorithm::HS256,
            ),
            TokenFault::Algorithm,
        ),
        (
            format!("{}.{}.AA", part(&json!({ "alg": "ES256", "kid": "x" })), part(&with("iss", json!("x")))),
            TokenFault::UnknownIssuer,
        ),
        ("x.y.z".to_owned(), TokenFault::Malformed),
    ] {
        assert_eq!(gateway.decide(&token).await.map(|_| ()), Err(fault.into()));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_token_that_was_refused_for_its_signature_is_accepted_as_soon_as_its_key_is_published() {
    for kid in ["one", ""] {
        let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
        let gateway = Gateway::following(server.url(), OFTEN);
        gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
        let early = match kid {
            "" => es256_without_kid(&keys().foreign_ec),
            kid => token(kid, &keys().foreign_ec, Algorithm::ES256),
        };
        for _ in 0..3 {
            let refused = gateway.decide(&early).await.map(|_| ());
            assert!(
                matches!(
                    refused,
                    Err(Denied::Invalid(TokenFault::Signature) | Denied::Unavailable | Denied::FetchRefused(_))
                ),
                "{refused:?}"
            );
        }

        server.answer(ok(&jwks(&[("one", &keys().foreign_ec, Algorithm::ES256)])));
        let asked = server.asked();
        until("two fetches", || server.asked() > asked + 1).await;

        assert!(gateway.decide(&early).await.is_ok(), "kid {kid:?}");
    }
}

#[tokio::test]
async fn missing_keys_make_the_issuer_unavailable_until_a_fetch_succeeds() {
    let server = KeyServer::start(status("503 Service Unavailable")).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    let good = token("one", &keys().ec, Algorithm::ES256);

    assert_eq!(gateway.decide(&good).await.map(|_| ()), Err(Denied::Unavailable));
    assert_eq!(gateway.issuer.state(), KeysState::Missing);
    server.answer(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)])));
    until("the first good fetch", || gateway.issuer.state() == KeysState::Good).await;

    assert!(gateway.decide(&good).await.is_ok());
}

#[tokio::test]
async fn a_broken_endpoint_removes_no_keys_but_an_empty_set_does() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), OFTEN);
    let good = token("one", &keys().ec, Algorithm::ES256);
    let granted = gateway.decide(&good).await.expect("a grant");

    for broken in [
        status("500 Internal KeyServer Error"),
        status("204 No Content"),
        status("302 Found\r\nlocation: http://127.0.0.1:1/jwks.json"),
        status("302 Found\r\nlocation: /jwks.json?x=1"),
        b"nonsense\r\n\r\n".to_vec(),
        ok(&json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
        ok(&json!([])),
        ok(&json!({ "error": "no" })),
        ok(&json!({ "keys": [], "x": "x".repeat(1024 * 1024) })),
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":[]}".to_vec(),
    ] {
        server.answer(broken.clone());
        let asked = server.asked();
        until("a fetch of the broken answer", || server.asked() > asked + 1).await;

        assert_eq!(
            gateway.issuer.state(),
            KeysState::Stale,
            "{}",
            String::from_utf8_lossy(&broken[..40.min(broken.len())])
        );
        assert!(gateway.decide(&good).await.is_ok());
        assert_eq!(gateway.trust_store.status(&granted, now()), GrantStatus::Valid);
    }
    let mut changed = gateway.trust_store.subscribe();
    server.answer(ok(&json!({ "keys": [] })));
    tokio::time::timeout(Duration::from_secs(10), changed.changed()).await.expect("in time").expect("a sender");

    assert_eq!(gateway.trust_store.status(&granted, now()), GrantStatus::KeyRemoved);
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed() {
    let server = KeyServer::start(status("307 Temporary Redirect\r\nlocation: /moved")).await;
    let gateway = Gateway::following(server.url(), SELDOM);

    let decision = gateway.decide(&token("moved", &keys().ec, Algorithm::ES256)).await;

    assert!(decision.is_ok(), "{decision:?}");
}

#[tokio::test]
async fn the_certificate_of_a_key_server_must_be_trusted() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key"),
        )
        .expect("a certificate with its key");
    let answer = ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]));
    let server = KeyServer::listen(answer, Some(Arc::new(tls).into())).await;
    let url: url::Url = format!("https://localhost:{}/jwks.json?x=1", server.address.port()).parse().expect("a URL");
    let (mut roots, good) = (RootCertStore::empty(), token("one", &keys().ec, Algorithm::ES256));
    roots.add(certified.cert.der().clone()).expect("a root");
    let own = KeySource::JwksUrl { url: url.clone(), refresh: SELDOM, authorities: Some(Arc::new(roots.clone())) };
    let source = KeySource::JwksUrl { url, refresh: SELDOM, authorities: None };
    let trusting = Gateway::start(source.clone(), roots);
    let trusting_its_own = Gateway::start(own, RootCertStore::empty());
    let distrusting = Gateway::start(source, RootCertStore::empty());

    assert!(trusting.decide(&good).await.is_ok());
    assert!(trusting_its_own.decide(&good).await.is_ok());
    assert_eq!(distrusting.decide(&good).await.map(|_| ()), Err(Denied::Unavailable));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn keys_are_fetched_only_over_https_or_from_loopback() {
    for url in ["http://id.example.com/jwks.json", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://10.0.0.1/x"] {
        let source = KeySource::JwksUrl { url: url.parse().expect("a URL"), refresh: SELDOM, authorities: None };
        let settings = issuer_settings("main", ISSUER, vec![source]);

        let loaded = Issuer::load(settings, TrustStore::new(1).change_signal(), no_observer());

        assert!(loaded.is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_reload_during_an_outage_keeps_the_keys() {
    let server = KeyServer::start(ok(&jwks(&[("one", &keys().ec, Algorithm::ES256)]))).await;
    let gateway = Gateway::following(server.url(), SELDOM);
    let granted = gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
    let settings = gateway.issuer.settings().clone();
    let load =
        || Issuer::load(settings.clone(), gateway.trust_store.change_signal(), no_observer()).expect("an issuer");

    let (fresh, adopting) = (load(), load());
    adopting.inherit_keys(&gateway.issuer);

    assert_eq!((fresh.state(), adopting.state()), (KeysState::Missing, KeysState::Good));
    gateway.trust_store.replace_issuers([("main".to_owned(), Arc::new(adopting))].into());
    assert_eq!(gateway.trust_store.status(&granted, now()), GrantStatus::Valid);
    gateway.trust_store.replace_issuers([("main".to_owned(), Arc::new(fresh))].into());
    assert_eq!(
        gateway.trust_store.status(&granted, now()),
        GrantStatus::Valid,
        "a key that is not loaded yet is not removed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_times_out() {
    // The kernel accepts the connection; nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url: url::Url = format!("http://{}/", silent.local_addr().expect("an address")).parse().expect("a URL");
    let begun = tokio::time::Instant::now();

    let tls = fetch::tls_trusting(RootCertStore::empty());
    let client = fetch::FetchClient { owner: "test".into(), tls, resolver: resolver() };
    let result = fetch::get(&url, &client).await;

    assert!(matches!(result, Err(fetch::FetchError::Timeout)), "{result:?}");
    assert!(begun.elapsed() <= fetch::TIMEOUT + Duration::from_millis(10));
}
