//! What must not be let in, each with the reason that is counted.

mod claims;
mod form;
mod signature;

use jsonwebtoken::Algorithm;
use rillgate::auth::Denied;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::*;

struct Table(Vec<(String, String, &'static str)>);

impl Table {
    fn add(&mut self, what: impl Into<String>, token: String, reason: &'static str) {
        self.0.push((what.into(), token, reason));
    }
}

fn rs(header: &Value, claims: &Value) -> String {
    let key = signing(&keys().rsa, Algorithm::RS256);
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()).expect("a token")
}

fn rs_raw(header: &[u8], claims: &[u8]) -> String {
    signing(&keys().rsa, Algorithm::RS256).sign(header, claims).expect("a token")
}

fn es(header: &Value, claims: &Value) -> String {
    let key = signing(&keys().ec, Algorithm::ES256);
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()).expect("a token")
}

fn rs256() -> Value {
    json!({ "alg": "RS256", "kid": "rsa" })
}

fn header_with(name: &str, value: Value) -> Value {
    let mut header = rs256();
    header[name] = value;
    header
}

fn good() -> String {
    rs(&rs256(), &claims())
}

#[tokio::test]
async fn no_crafted_token_is_let_in_and_each_is_counted_under_its_reason() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&authority(issuers(directory.path())), rules());
    assert!(authorize(&authorizer, &bearer(&good()), now()).await.is_ok(), "the table is about a token that is good");
    let mut table = Table(Vec::new());
    for fill in [
        signature::algorithms,
        signature::confusion,
        signature::signatures,
        form::kids,
        form::encodings,
        form::json_forms,
        form::headers,
        claims::registered_claims,
        claims::issuers_of_others,
    ] {
        fill(&mut table);
    }

    let mut wrong = Vec::new();
    for (what, token, reason) in &table.0 {
        let (_, decision) = authorizer.explain(token, wanted(), now()).await;
        let label = decision.as_ref().map_or_else(|denied| denied.label(), |_| "LET IN");
        assert!(Denied::LABELS.contains(reason), "{reason} is no label");
        if label != *reason {
            wrong.push(format!("{what}: {label}, not {reason}"));
        }
        // What can be sent at all is refused in a request as well. (There, spaces before the token belong to the header.)
        if !token.starts_with(' ')
            && let Ok(value) = format!("Bearer {token}").parse::<http::HeaderValue>()
        {
            let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            if authorize(&authorizer, &headers, now()).await.is_ok() {
                wrong.push(format!("{what}: let in by request"));
            }
        }
    }

    assert!(table.0.len() >= 300, "only {} tokens", table.0.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.0.len(), wrong.join("\n"));
}

#[tokio::test]
async fn no_change_of_one_character_is_let_in() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&authority(issuers(directory.path())), rules());
    let good = es(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    assert!(authorize(&authorizer, &bearer(&good), now()).await.is_ok(), "it is good unchanged");

    for at in 0..good.len() {
        for other in ["A", "B", "z", "_", "-", ".", "", "=", "é"] {
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            if changed != good {
                let (_, decision) = authorizer.explain(&changed, wanted(), now()).await;
                assert!(decision.is_err(), "{other:?} at {at}");
            }
        }
    }
}
