//! Key files that change while the gateway runs.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use rillgate::auth::{GrantStatus, KeySource, KeysState, TokenFault};
use rustls::RootCertStore;
use tempfile::tempdir;

use crate::key_server::jwks;
use crate::rotation::{Gateway, token, until};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_and_a_broken_one_is_ignored() {
    let directory = tempdir().expect("a directory");
    keys();
    let document = |kid| jwks(&[(kid, &keys().ec, Algorithm::ES256)]).to_string();
    let path = write(directory.path(), "jwks.json", document("one"));
    let gateway = Gateway::start(KeySource::JwksFile(path), RootCertStore::empty());
    let granted = gateway.decide(&token("one", &keys().ec, Algorithm::ES256)).await.expect("a grant");
    let mut changed = gateway.trust_store.subscribe();

    write(directory.path(), "jwks.json", "{");
    until("the broken file is seen", || gateway.issuer.state() == KeysState::Stale).await;
    assert_eq!(gateway.trust_store.status(&granted, now()), GrantStatus::Valid);
    assert!(!changed.has_changed().expect("a sender"));

    // As a deployment does it: a new file renamed over the old one.
    let next = write(directory.path(), "next", jwks(&[("two", &keys().foreign_ec, Algorithm::ES256)]).to_string());
    std::fs::rename(next, directory.path().join("jwks.json")).expect("a rename");
    changed.changed().await.expect("a sender");
    assert_eq!(gateway.trust_store.status(&granted, now()), GrantStatus::KeyRemoved);
    assert!(gateway.decide(&token("two", &keys().foreign_ec, Algorithm::ES256)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_is_rewritten_in_place_is_read_when_it_is_whole() {
    let directory = tempdir().expect("a directory");
    let document = jwks(&[("one", &keys().ec, Algorithm::ES256)]).to_string();
    let path = write(directory.path(), "jwks.json", &document);
    let gateway = Gateway::start(KeySource::JwksFile(path.clone()), RootCertStore::empty());
    let good = token("one", &keys().ec, Algorithm::ES256);
    let second = Duration::from_secs(1);
    // Off the polls, which are at whole seconds.
    tokio::time::sleep(second * 10 + second / 2).await;

    for part in ["", "{\"keys\":[]}", &document[..50], "{\"keys\":[] }"] {
        std::fs::write(&path, part).expect("a file");
        tokio::time::sleep(second).await;
        assert_eq!(gateway.issuer.state(), KeysState::Good, "{part:?} was read");
        assert!(gateway.decide(&good).await.is_ok(), "{part:?}");
    }
    // Empty for long: an error, which keeps the keys.
    std::fs::write(&path, "").expect("a file");
    tokio::time::sleep(second * 3).await;
    assert_eq!(gateway.issuer.state(), KeysState::Stale);
    assert!(gateway.decide(&good).await.is_ok());

    std::fs::write(&path, jwks(&[("two", &keys().foreign_ec, Algorithm::ES256)]).to_string()).expect("a file");
    tokio::time::sleep(second * 3).await;
    assert_eq!(gateway.issuer.state(), KeysState::Good);
    assert_eq!(gateway.decide(&good).await.map(|_| ()), Err(TokenFault::UnknownKey.into()));
    assert!(gateway.decide(&token("two", &keys().foreign_ec, Algorithm::ES256)).await.is_ok());
}
