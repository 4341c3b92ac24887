//! Permissions that an operator takes back: posted, or in a file.

use std::time::Instant;

use serde_json::{Value, json};

use super::world::{Metrics, PROTOCOLS, SOON, World, admin, bearer, route, token, wait_metric};
use crate::support::client::Protocol;
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn what_is_posted_ends_matching_streams_within_a_second_and_refuses_afterwards() {
    let world = World::new().await;
    let gateway = world.start(&route("prices", "/prices/{symbol}", "")).await;
    // What is posted, the claims that it covers, and those that it does not.
    let cases: [(Value, Value, Value); 5] = [
        (json!({ "jti": "t1" }), json!({ "jti": "t1" }), json!({ "jti": "t10" })),
        (json!({ "sub": "mallory" }), json!({ "sub": "mallory" }), json!({ "sub": "Mallory" })),
        (
            json!({ "claim": "org.id", "value": 7 }),
            json!({ "org": { "id": 7 }, "sub": "seven" }),
            json!({ "org": { "id": 77 }, "sub": "seventy-seven" }),
        ),
        (
            json!({ "claim": "groups", "value": "left" }),
            json!({ "groups": ["right", "left"] }),
            json!({ "groups": ["right"] }),
        ),
        (
            json!({ "claim": "https://example.com/device", "value": "d1", "ttl": "1h" }),
            json!({ "https://example.com/device": "d1" }),
            json!({ "https://example.com/device": "d2" }),
        ),
    ];
    let mut ended = 0.0;

    for (posted, covered, spared) in cases {
        let (covered, spared) = (bearer(&token(&covered)), bearer(&token(&spared)));
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        for protocol in PROTOCOLS {
            let client = world.client(protocol, &gateway);
            theirs.push(client.subscribe("/prices/x", &[("authorization", &covered)]).await);
            others.push(client.subscribe("/prices/x", &[("authorization", &spared)]).await);
        }
        assert!(theirs.iter().chain(&others).all(|client| client.status.as_u16() == 200));

        let begun = Instant::now();
        let (status, text) = admin(&gateway, "POST", "/revocations", &posted.to_string()).await;
        assert_eq!(status, 200, "{text}");
        for client in &mut theirs {
            assert!(client.expect_end(DEADLINE).await.is_empty());
        }
        let taken = begun.elapsed();

        assert!(taken < SOON, "{posted}: {taken:?}");
        world.origin.emit(Emission::event("1", "", "spared"));
        for (protocol, mut client) in PROTOCOLS.into_iter().zip(others) {
            assert_eq!(client.next_event(DEADLINE).await.data, "spared");
            let again = world.client(protocol, &gateway);
            let refused = again.subscribe("/prices/x", &[("authorization", &covered)]).await;
            assert_eq!(refused.status.as_u16(), 401);
            assert!(refused.header("www-authenticate").contains("invalid_token"));
        }
        ended += 2.0;
        let reason = [("reason", "revoked")];
        wait_metric(&gateway, "rillgate_subscriptions_ended_total", &reason, ended).await;
    }
    let refused = Metrics::of(&gateway).await.sum("rillgate_auth_failures_total", &[("reason", "revoked")]);
    assert_eq!(refused, 10.0);
}

#[tokio::test]
async fn what_is_no_revocation_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let rest = format!("{}\n[revocations]\nentries = 1", route("prices", "/prices/{symbol}", ""));
    let gateway = world.start(&rest).await;
    for body in [
        "",
        "{}",
        "[]",
        "x",
        r#"{ "sub": "" }"#,
        r#"{ "sub": 1 }"#,
        r#"{ "sub": "a", "jti": "b" }"#,
        r#"{ "subject": "a" }"#,
    ] {
        let (status, text) = admin(&gateway, "POST", "/revocations", body).await;
        assert_eq!(status, 400, "{body}: {text}");
    }
    assert_eq!(admin(&gateway, "POST", "/revocations", r#"{ "jti": "first" }"#).await.0, 200);

    // Full: nothing is forgotten to make room.
    let (status, text) = admin(&gateway, "POST", "/revocations", r#"{ "sub": "alice" }"#).await;

    assert!(status >= 400 && text.contains("full"), "{status} {text}");
    let token = bearer(&token(&json!({})));
    let client = world.client(Protocol::Http2, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &token)]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_file_holds_across_a_restart_and_is_followed() {
    let world = World::new().await;
    let file = world.file("revocations.toml");
    let write = |text: &str| {
        // In one step, as an operator's tool would.
        std::fs::write(format!("{file}.next"), text).unwrap();
        std::fs::rename(format!("{file}.next"), &file).unwrap();
    };
    write("[[revocations]]\nsub = \"mallory\"\n");
    let rest = format!("{}\n[revocations]\nfile = \"{file}\"", route("prices", "/prices/{symbol}", ""));
    let config = world.config_with_main("5s", &rest);
    let (alice, mallory) = (bearer(&token(&json!({}))), bearer(&token(&json!({ "sub": "mallory" }))));

    // The posted one is in memory alone, the filed one is there after every start.
    for _ in 0..2 {
        let gateway = Rillgate::start(&config).await;
        let client = world.client(Protocol::Http2, &gateway);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16(), 401);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 200);
        assert_eq!(admin(&gateway, "POST", "/revocations", r#"{ "sub": "alice" }"#).await.0, 200);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 401);
    }

    let gateway = Rillgate::start(&config).await;
    let client = world.client(Protocol::Http2, &gateway);
    let mut open = client.subscribe("/prices/x", &[("authorization", &alice)]).await;
    write("[[revocations]]\nsub = \"alice\"\n");
    assert!(open.expect_end(DEADLINE).await.is_empty());
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16(), 200);

    // A broken file takes nothing back, and neither does one that is gone.
    write("[[revocations]]\nsub = alice\n");
    gateway.wait_line("revocations not loaded", DEADLINE).await;
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 401);

    // A reload reads it too, and refuses a broken one as a whole.
    gateway.signal("HUP");
    gateway.wait_line("configuration not reloaded", DEADLINE).await;
    write("");
    gateway.signal("HUP");
    eventually(DEADLINE, || async {
        client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16() == 200
    })
    .await;

    // Following the file does not hold up the end.
    gateway.signal("TERM");
    assert!(gateway.wait_exit(DEADLINE).await.success());
    assert!(!gateway.log().iter().any(|line| line.contains("cut off")));
}

#[tokio::test]
async fn a_file_that_is_none_refuses_the_start() {
    let world = World::new().await;
    for (content, words) in [
        (None, "revocations.file"),
        (Some("[[revocations]]\nsubject = \"x\"\n"), "revocations.file"),
        (Some("[[revocations]]\nsub = \"x\"\nuntil = 2030-01-31\n"), "revocations.file"),
        (Some("no toml at all"), "revocations.file"),
        (Some("[[revocations]]\nsub = \"a\"\n[[revocations]]\nsub = \"b\"\n"), "full"),
    ] {
        let file = world.file("bad.toml");
        let _ = std::fs::remove_file(&file);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let rest =
            format!("{}\n[revocations]\nfile = \"{file}\"\nentries = 1", route("prices", "/prices/{symbol}", ""));
        let config = world.file("rillgate.toml");
        std::fs::write(&config, world.config_with_main("5s", &rest)).unwrap();
        let mut texts = Vec::new();

        for command in ["check", "serve"] {
            let output = Rillgate::command().args([command, "--config", &config]).output().unwrap();
            assert_eq!(output.status.code(), Some(78), "{command} {content:?}");
            texts.push(String::from_utf8(output.stderr).unwrap());
        }

        assert!(texts[0].contains(words), "{}", texts[0]);
        assert_eq!(texts[0], texts[1]);
    }
}
