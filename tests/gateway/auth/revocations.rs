//! Revocations, posted to the admin port or listed in a file.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, SOON, admin, bearer, route, token, wait_metric};
use crate::support::client::Protocol;
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn a_posted_revocation_ends_matching_streams_within_a_second() {
    let fixture = AuthFixture::new().await;
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", "")).await;
    // Each case is the posted revocation, claims that it covers, and claims that it does not.
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
            let client = fixture.client(protocol, &gateway);
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
        fixture.origin.emit(Emission::event("1", "", "spared"));
        for (protocol, mut client) in PROTOCOLS.into_iter().zip(others) {
            assert_eq!(client.next_event(DEADLINE).await.data, "spared");
            let again = fixture.client(protocol, &gateway);
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
async fn an_invalid_revocation_is_refused_and_changes_nothing() {
    let fixture = AuthFixture::new().await;
    let rest = format!("{}\n[revocations]\nentries = 1", route("prices", "/prices/{symbol}", ""));
    let gateway = fixture.start(&rest).await;
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

    // The table is full: no entry is dropped to make room.
    let (status, text) = admin(&gateway, "POST", "/revocations", r#"{ "sub": "alice" }"#).await;

    assert!(status == 507 && text.contains("the table of revocations is full (1 entries)"), "{status} {text}");
    let token = bearer(&token(&json!({})));
    let client = fixture.client(Protocol::Http2, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &token)]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_posted_revocation_is_listed_and_can_be_deleted() {
    let fixture = AuthFixture::new().await;
    let gateway = fixture.start(&route("prices", "/prices/{symbol}", "")).await;
    let mallory = bearer(&token(&json!({ "sub": "mallory" })));
    let client = fixture.client(Protocol::Http2, &gateway);
    let status = async || client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16();
    let mut open = client.subscribe("/prices/x", &[("authorization", &mallory)]).await;
    assert_eq!(open.status.as_u16(), 200);

    let id = revoke(&gateway, &json!({ "sub": "mallory" })).await;
    assert!(open.expect_end(DEADLINE).await.is_empty());
    assert_eq!(status().await, 401);
    let ending = revoke(&gateway, &json!({ "claim": "org.id", "value": 7, "ttl": "1h" })).await;
    wait_metric(&gateway, "rillgate_revocations", &[("from", "posted")], 2.0).await;

    let (rows, next) = list(&gateway, None).await;
    assert!(next.is_null() && rows.len() == 2, "{rows:?}");
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).expect("a row");
    let subject = json!({ "id": id, "sub": "mallory", "value": "mallory", "until": null, "from": "posted" });
    assert_eq!(*row(&id), subject);
    let until = row(&ending)["until"].as_str().expect("an end").to_owned();
    assert!(until.len() == 20 && until.starts_with("20") && until.ends_with('Z'), "{until}");
    let claim = json!({ "id": ending, "claim": "org.id", "value": "7", "until": until, "from": "posted" });
    assert_eq!(*row(&ending), claim);

    assert_eq!(admin(&gateway, "DELETE", &format!("/revocations/{id}"), "").await, (204, String::new()));
    assert_eq!(status().await, 200);
    for unknown in [id.as_str(), "x", &"0".repeat(64)] {
        assert_eq!(admin(&gateway, "DELETE", &format!("/revocations/{unknown}"), "").await.0, 404, "{unknown}");
    }
    wait_metric(&gateway, "rillgate_revocations", &[("from", "posted")], 1.0).await;
    let limit = Metrics::of(&gateway).await.sum("rillgate_limit", &[("limit", "revocations")]);
    assert_eq!(limit, 100_000.0);
}

#[tokio::test]
async fn revocations_of_the_file_are_listed_in_pages_and_not_deletable() {
    let fixture = AuthFixture::new().await;
    let file = fixture.file("revocations.toml");
    let entries: String = (0..2_500).map(|number| format!("[[revocations]]\njti = \"t{number}\"\n")).collect();
    std::fs::write(&file, entries + "[[revocations]]\nsub = \"mallory\"\n").unwrap();
    let rest = format!("{}\n[revocations]\nfile = \"{file}\"", route("prices", "/prices/{symbol}", ""));
    let gateway = fixture.start(&rest).await;
    let both = revoke(&gateway, &json!({ "sub": "mallory" })).await;
    revoke(&gateway, &json!({ "jti": "posted" })).await;

    let (mut rows, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let (page, next) = list(&gateway, after.as_deref()).await;
        sizes.push(page.len());
        rows.extend(page);
        match next.as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }

    assert_eq!(sizes, [1000, 1000, 502]);
    let values: BTreeSet<_> = rows.iter().map(|row| row["value"].as_str().unwrap()).collect();
    assert_eq!(values.len(), 2_502);
    let from = |from: &str| rows.iter().filter(|row| row["from"] == from).count();
    assert_eq!((from("file"), from("both"), from("posted")), (2_500, 1, 1));
    assert_eq!(admin(&gateway, "GET", "/revocations?after=t1", "").await.0, 400);

    let filed = rows.iter().find(|row| row["value"] == "t1").unwrap();
    for id in [filed["id"].as_str().unwrap(), &both] {
        let (status, text) = admin(&gateway, "DELETE", &format!("/revocations/{id}"), "").await;
        assert!(status == 409 && text.contains("remove it there"), "{status} {text}");
    }
    let mallory = bearer(&token(&json!({ "sub": "mallory" })));
    let client = fixture.client(Protocol::Http1, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16(), 401);
    wait_metric(&gateway, "rillgate_revocations", &[("from", "file")], 2_501.0).await;
    wait_metric(&gateway, "rillgate_revocations", &[("from", "posted")], 1.0).await;
}

#[tokio::test]
async fn an_expired_revocation_is_not_listed_and_frees_its_entry() {
    let fixture = AuthFixture::new().await;
    let rest = format!("{}\n[revocations]\nentries = 2", route("prices", "/prices/{symbol}", ""));
    let gateway = fixture.start(&rest).await;
    revoke(&gateway, &json!({ "jti": "short", "ttl": "1s" })).await;
    revoke(&gateway, &json!({ "jti": "for good" })).await;

    eventually(DEADLINE, || async { list(&gateway, None).await.0.len() == 1 }).await;
    wait_metric(&gateway, "rillgate_revocations", &[("from", "posted")], 1.0).await;

    revoke(&gateway, &json!({ "jti": "next" })).await;
    assert_eq!(admin(&gateway, "POST", "/revocations", r#"{ "jti": "one more" }"#).await.0, 507);
}

#[tokio::test]
async fn the_revocation_file_survives_a_restart_and_is_watched() {
    let fixture = AuthFixture::new().await;
    let file = fixture.file("revocations.toml");
    let write = |text: &str| {
        // Atomically, as an operator's tool would.
        std::fs::write(format!("{file}.next"), text).unwrap();
        std::fs::rename(format!("{file}.next"), &file).unwrap();
    };
    write("[[revocations]]\nsub = \"mallory\"\n");
    let rest = format!("{}\n[revocations]\nfile = \"{file}\"", route("prices", "/prices/{symbol}", ""));
    let config = fixture.config_with_main("5s", &rest);
    let (alice, mallory) = (bearer(&token(&json!({}))), bearer(&token(&json!({ "sub": "mallory" }))));

    // A posted revocation is only in memory; one in the file is loaded at every start.
    for _ in 0..2 {
        let gateway = Rillgate::start(&config).await;
        let client = fixture.client(Protocol::Http2, &gateway);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16(), 401);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 200);
        assert_eq!(admin(&gateway, "POST", "/revocations", r#"{ "sub": "alice" }"#).await.0, 200);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 401);
    }

    let gateway = Rillgate::start(&config).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let mut open = client.subscribe("/prices/x", &[("authorization", &alice)]).await;
    write("[[revocations]]\nsub = \"alice\"\n");
    assert!(open.expect_end(DEADLINE).await.is_empty());
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16(), 200);

    // An invalid file removes no revocation.
    write("[[revocations]]\nsub = alice\n");
    gateway.wait_line("cannot load revocations", DEADLINE).await;
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 401);

    // A reload reads the file too, and is refused as a whole if the file is invalid.
    gateway.signal("HUP");
    gateway.wait_line("configuration not reloaded", DEADLINE).await;
    write("revocations = []\n");
    gateway.signal("HUP");
    eventually(DEADLINE, || async {
        client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16() == 200
    })
    .await;

    // Watching the file does not delay the shutdown.
    gateway.signal("TERM");
    assert!(gateway.wait_exit(DEADLINE).await.success());
    assert!(!gateway.log().iter().any(|line| line.contains("cut off")));
}

#[tokio::test]
async fn an_emptied_revocation_file_is_told_and_admits_nobody() {
    let fixture = AuthFixture::new().await;
    let file = fixture.file("revocations.toml");
    let listed = "[[revocations]]\nsub = \"mallory\"\n";
    std::fs::write(&file, listed).unwrap();
    let rest = format!("{}\n[revocations]\nfile = \"{file}\"", route("prices", "/prices/{symbol}", ""));
    let gateway = Rillgate::start(&fixture.config_with_main("5s", &rest)).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let mallory = bearer(&token(&json!({ "sub": "mallory" })));
    let status = || async { client.subscribe("/prices/x", &[("authorization", &mallory)]).await.status.as_u16() };
    let has_note = || async {
        let (status, text) = admin(&gateway, "GET", "/readyz", "").await;
        assert_eq!(status, 200);
        text.contains("revocations.file is not in use: the file is empty, but 1 of its earlier entries")
    };
    assert!(!has_note().await);

    // In place and with a pause, as an editor or a script would.
    std::fs::write(&file, "").unwrap();
    gateway.wait_line("cannot load revocations", DEADLINE).await;
    eventually(DEADLINE, has_note).await;
    assert_eq!(status().await, 401);
    gateway.signal("HUP");
    gateway.wait_line("configuration not reloaded", DEADLINE).await;
    assert_eq!(status().await, 401);

    std::fs::write(&file, listed).unwrap();
    eventually(DEADLINE, || async { !has_note().await }).await;
    assert_eq!(status().await, 401);

    std::fs::write(&file, "revocations = []\n").unwrap();
    eventually(DEADLINE, || async { status().await == 200 }).await;
    assert!(!has_note().await);
}

#[tokio::test]
async fn an_invalid_revocation_file_prevents_the_start() {
    let fixture = AuthFixture::new().await;
    for (content, words) in [
        (None, "revocations.file"),
        (Some("[[revocations]]\nsubject = \"x\"\n"), "revocations.file: line 2, column 1 of the file: "),
        (
            Some("[[revocations]]\nsub = \"x\"\nuntil = 2030-01-31\n"),
            "revocations.file: line 3, column 9 of the file: ",
        ),
        (Some("no toml at all"), "revocations.file: line 1, column 4 of the file: not TOML"),
        (Some("[[revocations]]\nsub = \"a\"\n[[revocations]]\nsub = \"b\"\n"), "full"),
    ] {
        let file = fixture.file("bad.toml");
        let _ = std::fs::remove_file(&file);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let rest =
            format!("{}\n[revocations]\nfile = \"{file}\"\nentries = 1", route("prices", "/prices/{symbol}", ""));
        let config = fixture.file("rillgate.toml");
        std::fs::write(&config, fixture.config_with_main("5s", &rest)).unwrap();
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

/// Posts a revocation and returns its id.
async fn revoke(gateway: &Rillgate, posted: &Value) -> String {
    let (status, text) = admin(gateway, "POST", "/revocations", &posted.to_string()).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["revoked"], true);
    answer["id"].as_str().expect("an id").to_owned()
}

/// Returns the rows of a page, and its `next`.
async fn list(gateway: &Rillgate, after: Option<&str>) -> (Vec<Value>, Value) {
    let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
    let (status, text) = admin(gateway, "GET", &format!("/revocations{query}"), "").await;
    assert_eq!(status, 200, "{text}");
    let mut page: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(rows) = page["revocations"].take() else { panic!("{text}") };
    (rows, page["next"].take())
}
