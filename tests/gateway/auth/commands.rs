//! `rillgate token` and `rillgate explain`, as processes.

use std::process::Output;

use serde_json::json;

use super::fixture::{AuthFixture, bearer, route, token, token_by};
use super::keys::{config, jwks};
use super::support::{ISSUER, keys};
use crate::support::client::Protocol;
use crate::support::origin::Origin;
use crate::support::script::Answer;
use crate::support::server::Rillgate;

async fn run(arguments: &[&str]) -> Output {
    let mut command = Rillgate::command();
    command.args(arguments).env_remove("RILLGATE_LOG");
    // The process may send requests to servers of this test, which must be able to answer meanwhile.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_minted_token_is_accepted() {
    let fixture = AuthFixture::new().await;
    let auth = "require = { scope = \"read\" }\nbind = { user = \"sub\" }";
    let gateway = fixture.start(&route("inbox", "/inbox/{user}", auth)).await;

    for (key, kid, more) in [
        ("ec.key", "ec", vec![]),
        ("rsa.key", "rsa", vec!["--algorithm", "RS256"]),
        ("hmac.key", "hmac", vec!["--algorithm", "HS256", "--typ", "JWT"]),
    ] {
        let key = fixture.file(key);
        let mut arguments = vec!["token", "--key", &key, "--kid", kid, "--issuer", ISSUER, "--audience", "rillgate"];
        arguments.extend(["--audience", "other", "--subject", "alice", "--ttl", "15m", "--claim", "scope=\"read\""]);
        arguments.extend(more);
        let output = run(&arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let token = bearer(text(&output.stdout).trim());

        let client = fixture.client(Protocol::Http2, &gateway);
        let answer = client.subscribe("/inbox/alice", &[("authorization", &token)]).await;

        assert_eq!(answer.status.as_u16(), 200, "{kid}");
        let other = client.subscribe("/inbox/bob", &[("authorization", &token)]).await;
        assert_eq!(other.status.as_u16(), 403, "{kid}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_minted_is_an_error_that_never_shows_the_key() {
    let fixture = AuthFixture::new().await;
    let short = fixture.file("short.key");
    std::fs::write(&short, "short-secret").unwrap();
    let (missing, ec) = (fixture.file("missing.key"), fixture.file("ec.key"));
    let rest = ["--issuer", ISSUER, "--audience", "rillgate"];

    for (arguments, status) in [
        (vec!["--key", &short, "--algorithm", "HS256"], 1),
        (vec!["--key", &missing], 1),
        (vec!["--key", &ec, "--algorithm", "RS256"], 1),
        (vec!["--key", &ec, "--algorithm", "none"], 2),
        (vec!["--key", &ec, "--ttl", "soon"], 2),
        (vec!["--key", &ec, "--claim", "scope"], 2),
        (vec!["--key", &ec, "--claim", "iss=evil"], 2),
        (vec!["--key", &ec, "--subject", "a", "--claim", "sub=b"], 2),
        (vec!["--key", &ec, "--claim", "a=1", "--claim", "a=2"], 2),
    ] {
        let output = run(&[vec!["token"], arguments.clone(), rest.to_vec()].concat()).await;
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {all}");
        assert!(output.stdout.is_empty() && !all.contains("short-secret") && !all.contains("PRIVATE KEY"), "{all}");
    }
}

#[tokio::test]
async fn explain_reports_each_rule_and_never_prints_the_token() {
    let fixture = AuthFixture::new().await;
    let auth = "streams_claim = \"streams\"\nrequire = { scope = \"read\" }";
    let file = fixture.file("rillgate.toml");
    let revocations = fixture.file("revocations.toml");
    std::fs::write(&revocations, "[[revocations]]\nsub = \"mallory\"\n").unwrap();
    let rest = format!("{}\n[revocations]\nfile = \"{revocations}\"", route("prices", "/prices/{symbol}", auth));
    std::fs::write(&file, fixture.config_with_main("5s", &rest)).unwrap();
    let streams = json!(["/prices/*"]);
    let cases = [
        ("/prices/x", json!({ "streams": streams, "scope": "read" }), 0, "admitted"),
        // The command knows only the revocation file, and says so.
        ("/prices/x", json!({ "streams": streams, "scope": "read" }), 0, "posted to a running gateway are not known"),
        (
            "/prices/x",
            json!({ "streams": ["/orders/*"], "scope": "read" }),
            1,
            "no pattern in the claim streams covers",
        ),
        ("/prices/x", json!({ "streams": streams }), 1, "the claim scope does not have \"read\""),
        ("/prices/x", json!({ "streams": streams, "scope": "read", "exp": 1 }), 1, "expired"),
        (
            "/prices/x",
            json!({ "streams": streams, "scope": "read", "aud": "other" }),
            1,
            "does not include \"rillgate\"",
        ),
        ("/prices/x", json!({ "iss": "https://x.example/" }), 1, "issued by \"https://x.example/\", not by \""),
        ("/prices/x", json!({ "streams": streams, "scope": "read", "sub": "mallory" }), 1, "the token is revoked"),
        ("/nowhere", json!({}), 1, "no route"),
        ("/prices/../x", json!({}), 1, "dot segment"),
    ];

    for (path, claims, status, words) in cases {
        let token = token(&claims);
        let output = run(&["explain", "--config", &file, "--path", path, "--token", &token]).await;
        let all = text(&output.stdout) + &text(&output.stderr);

        assert_eq!(output.status.code(), Some(status), "{path} {claims}: {all}");
        assert!(all.contains(words), "{all}");
        assert!(!all.contains("Some(") && !all.contains("WARN") && !all.contains('['), "{all}");
        assert!(!token.split('.').skip(1).any(|part| all.contains(part)), "{all}");
        if path == "/prices/x" {
            assert!(all.contains("prices (/prices/{symbol})"), "{all}");
            assert_eq!(all.contains("FAILS"), status == 1, "{all}");
        }
    }
    let forged = run(&["explain", "--config", &file, "--path", "/prices/x", "--token", "not.a.token"]).await;
    assert_eq!(forged.status.code(), Some(1));
    let missing = run(&["explain", "--config", "/nowhere.toml", "--path", "/prices/x", "--token", "x"]).await;
    assert_eq!(missing.status.code(), Some(78));
}

#[tokio::test]
async fn explain_fetches_the_keys_that_it_needs() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("one", &keys().ec)])).await;
    let file = fixture.file("rillgate.toml");
    std::fs::write(&file, config(&fixture, &id, "5m", &route("prices", "/prices/{symbol}", ""))).unwrap();
    let good = token_by("one", &keys().ec, &json!({}));
    let arguments = ["explain", "--config", &file, "--path", "/prices/x", "--token", &good];

    let with_keys = run(&arguments).await;
    id.answer(|_| Answer::status(503));
    let without = run(&arguments).await;

    assert!(with_keys.status.success(), "{}{}", text(&with_keys.stdout), text(&with_keys.stderr));
    assert_eq!(without.status.code(), Some(1));
    assert!((text(&without.stdout) + &text(&without.stderr)).contains("keys"), "{}", text(&without.stderr));
}
