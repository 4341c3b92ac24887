//! The crafted tokens, each refused for its own reason.

use rillgate::auth::Denied;
use serde_json::json;
use tempfile::tempdir;

use crate::bad_tokens::{self, es, good};
use crate::support::*;

#[tokio::test]
async fn every_crafted_token_is_refused_for_its_own_reason() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&trust_store(issuers(directory.path())), rules());
    assert!(authorize(&authorizer, &bearer(&good()), now()).await.is_ok(), "the unchanged token is valid");
    let table = bad_tokens::all();

    let mut wrong = Vec::new();
    for (what, token, reason) in &table {
        let (_, decision) = authorizer.explain(token, requested(), now()).await;
        let label = decision.as_ref().map_or_else(|denied| denied.label(), |_| "ACCEPTED");
        assert!(Denied::LABELS.contains(reason), "{reason} is not a label");
        if label != *reason {
            wrong.push(format!("{what}: {label}, not {reason}"));
        }
        // A token that can be sent at all is refused in a request as well. (There, leading spaces belong to the
        // header.)
        if !token.starts_with(' ')
            && let Ok(value) = format!("Bearer {token}").parse::<http::HeaderValue>()
        {
            let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            if authorize(&authorizer, &headers, now()).await.is_ok() {
                wrong.push(format!("{what}: accepted in a request"));
            }
        }
    }

    assert!(table.len() >= 300, "only {} tokens", table.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_change_of_one_character_is_refused() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&trust_store(issuers(directory.path())), rules());
    let good = es(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    assert!(authorize(&authorizer, &bearer(&good), now()).await.is_ok(), "the unchanged token is valid");

    for at in 0..good.len() {
        for other in ["A", "B", "z", "_", "-", ".", "", "=", "é"] {
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            if changed != good {
                let (_, decision) = authorizer.explain(&changed, requested(), now()).await;
                assert!(decision.is_err(), "{other:?} at {at}");
            }
        }
    }
}
