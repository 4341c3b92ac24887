//! The effect of a reload on open streams.

use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, bearer, in_seconds, route, token, token_by, wait_metric};
use super::keys::{config, jwks};
use super::support::keys;
use crate::support::client::Protocol;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// Replaces the configuration file, sends HUP and waits for the reload to succeed.
pub async fn reload(gateway: &Rillgate, config: &str) {
    let ok = [("result", "ok")];
    let before = Metrics::of(gateway).await.sum("rillgate_config_reloads_total", &ok);
    gateway.rewrite(config);
    gateway.signal("HUP");
    wait_metric(gateway, "rillgate_config_reloads_total", &ok, before + 1.0).await;
}

async fn subscribe(fixture: &AuthFixture, gateway: &Rillgate, path: &str, token: &str) -> Vec<Subscription> {
    let mut subscriptions = Vec::new();
    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, gateway);
        let headers: Vec<_> = (!token.is_empty()).then_some(("authorization", token)).into_iter().collect();
        subscriptions.push(client.subscribe(path, &headers).await);
        assert_eq!(subscriptions.last().unwrap().status.as_u16(), 200, "{path}");
    }
    subscriptions
}

async fn assert_end(subscriptions: Vec<Subscription>) {
    for mut subscription in subscriptions {
        assert!(subscription.expect_end(DEADLINE).await.is_empty());
    }
}

async fn assert_continue(fixture: &AuthFixture, subscriptions: Vec<Subscription>) {
    fixture.origin.emit(Emission::event("1", "", "still here"));
    for mut subscription in subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "still here");
    }
}

#[tokio::test]
async fn a_reload_ends_streams_that_new_rules_refuse() {
    let fixture = AuthFixture::new().await;
    let before = format!(
        "{}{}{}{}{}",
        route("scoped", "/scoped/{x}", ""),
        route("moved", "/moved/{x}", ""),
        route("gone", "/gone/{x}", ""),
        route("shadow", "/shadow/{x}", "enforce = false"),
        "[[routes]]\nname = \"open\"\npath = \"/open/{x}\"\nupstream = \"origin\"\nauth = \"public\"\n",
    );
    let after = format!(
        "{}{}{}{}",
        route("scoped", "/scoped/{x}", "require = { scope = \"read\" }"),
        // Renaming a route ends no stream: what counts is whether the client would be admitted now.
        route("renamed", "/moved/{x}", ""),
        route("open", "/open/{x}", ""),
        route("shadow", "/shadow/{x}", ""),
    );
    let gateway = fixture.start(&before).await;
    let plain = bearer(&token(&json!({})));
    let reader = bearer(&token(&json!({ "scope": "read" })));
    let without_scope = subscribe(&fixture, &gateway, "/scoped/x", &plain).await;
    let with_scope = subscribe(&fixture, &gateway, "/scoped/x", &reader).await;
    let moved = subscribe(&fixture, &gateway, "/moved/x", &plain).await;
    let gone = subscribe(&fixture, &gateway, "/gone/x", &plain).await;
    let open = subscribe(&fixture, &gateway, "/open/x", "").await;
    let shadow = subscribe(&fixture, &gateway, "/shadow/x", "").await;

    reload(&gateway, &fixture.config_with_main("5s", &after)).await;

    for subscriptions in [without_scope, gone, open, shadow] {
        assert_end(subscriptions).await;
    }
    assert_continue(&fixture, with_scope.into_iter().chain(moved).collect()).await;
    wait_metric(&gateway, "rillgate_subscriptions_ended_total", &[("reason", "revoked")], 8.0).await;
}

#[tokio::test]
async fn removing_an_issuer_from_a_route_ends_its_streams() {
    let fixture = AuthFixture::new().await;
    let other = format!(
        r#"
        [issuers.other]
        issuer = "https://other.example.com/"
        audience = ["rillgate"]
        keys = [{{ pem_file = "{}", algorithm = "ES256", kid = "ec" }}]
        "#,
        fixture.file("ec.pem")
    );
    let routes = |issuers: &str| {
        format!(
            "[[routes]]\nname = \"prices\"\npath = \"/prices/{{x}}\"\nupstream = \"origin\"\nauth = {{ issuers = {issuers} }}\n"
        )
    };
    let both = fixture.config_with_main("5s", &format!("{other}{}", routes("[\"main\", \"other\"]")));
    // The issuer is first removed from the route, then from the configuration.
    let off = fixture.config_with_main("5s", &format!("{other}{}", routes("[\"main\"]")));
    let gone = fixture.config_with_main("5s", &routes("[\"main\"]"));
    let mine = bearer(&token(&json!({})));
    let others = bearer(&token(&json!({ "iss": "https://other.example.com/" })));
    let gateway = Rillgate::start(&both).await;
    let mine = subscribe(&fixture, &gateway, "/prices/x", &mine).await;

    for without in [off, gone] {
        let theirs = subscribe(&fixture, &gateway, "/prices/x", &others).await;
        reload(&gateway, &without).await;
        assert_end(theirs).await;
        reload(&gateway, &both).await;
    }

    assert_continue(&fixture, mine).await;
    assert_eq!(Metrics::of(&gateway).await.sum("rillgate_subscriptions_ended_total", &[("reason", "revoked")]), 4.0);
}

#[tokio::test]
async fn a_reload_keeps_keys_and_streams_of_an_unreachable_issuer() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("one", &keys().ec)])).await;
    let good = bearer(&token_by("one", &keys().ec, &json!({})));
    let gateway = Rillgate::start(&config(&fixture, &id, "5m", &route("prices", "/prices/{x}", ""))).await;
    let open = subscribe(&fixture, &gateway, "/prices/x", &good).await;
    id.refuse(503);
    let asked = id.requests().len();

    // An unchanged issuer is not even requested.
    let same = config(&fixture, &id, "5m", &route("prices", "/prices/{x}", "require = { sub = \"alice\" }"));
    reload(&gateway, &same).await;
    assert_eq!(
        fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &[("authorization", &good)]).await.status,
        200
    );
    assert_eq!(id.requests().len(), asked);

    // A changed issuer with the same URL keeps the known keys until it answers.
    let changed = config(&fixture, &id, "4m", &route("prices", "/prices/{x}", ""));
    reload(&gateway, &changed).await;
    assert_eq!(
        fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &[("authorization", &good)]).await.status,
        200
    );
    eventually(DEADLINE, || async { id.requests().len() >= 2 }).await;
    assert_continue(&fixture, open).await;
}

#[tokio::test]
async fn a_refused_reload_ends_no_stream() {
    let fixture = AuthFixture::new().await;
    let gateway = fixture.start(&route("prices", "/prices/{x}", "")).await;
    let good = bearer(&token(&json!({})));
    let open = subscribe(&fixture, &gateway, "/prices/x", &good).await;

    gateway.rewrite(&fixture.config_with_main("5s", &route("prices", "/prices/{x}", "issuers2 = []")));
    gateway.signal("HUP");
    gateway.wait_line("configuration not reloaded", DEADLINE).await;

    assert_continue(&fixture, open).await;
    assert_eq!(Metrics::of(&gateway).await.sum("rillgate_config_reloads_total", &[("result", "refused")]), 1.0);
}

#[tokio::test]
async fn a_ticket_issued_before_a_reload_follows_the_new_rules() {
    let fixture = AuthFixture::new().await;
    let rules = |rule: &str| {
        let rest = route("prices", "/prices/{x}", &format!("tickets = true\nticket_ttl = \"10m\"\n{rule}"));
        fixture.config_with_main("5s", &rest)
    };
    let gateway = Rillgate::start(&rules("")).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let mut urls = Vec::new();
    for claims in [json!({}), json!({ "scope": "read" })] {
        let headers = [("authorization", bearer(&token(&claims)))];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut answer = client.try_request("POST", "/prices/x?ticket", &headers).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&answer.text().await).unwrap();
        urls.push(body["url"].as_str().unwrap().to_owned());
    }

    reload(&gateway, &rules("require = { scope = \"read\" }")).await;

    assert_eq!(client.subscribe(&urls[0], &[]).await.status.as_u16(), 403);
    assert_eq!(client.subscribe(&urls[1], &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn every_auth_setting_is_applied_to_open_streams_at_a_reload() {
    let fixture = AuthFixture::new().await;
    let main = fixture.config_with_main("60s", "");
    let typed = main.replace("audience =", "typ = \"at+jwt\"\naudience =");
    let strict = main.replace("leeway = \"60s\"", "leeway = \"0s\"");
    let with = |base: &str, routes: &str| format!("{base}\n{routes}");
    let cookies = "token_from = [\"header\", \"cookie:session\"]";
    // Each case is the file and the route's rules before and after, the claims, and whether subscriptions end.
    let cases = [
        ("typ", main.clone(), "", typed, "", json!({}), true),
        ("leeway", main.clone(), "", strict, "", json!({ "exp": in_seconds(-20.0) }), true),
        ("a shared claim", main.clone(), "", main.clone(), SHARES, json!({}), true),
        ("an additional token location", main.clone(), "", main.clone(), cookies, json!({}), false),
        (
            "a replaced token location",
            main.clone(),
            cookies,
            main.clone(),
            "token_from = [\"cookie:session\"]",
            json!({}),
            true,
        ),
        ("an unchanged configuration", main.clone(), SHARES, main.clone(), SHARES, json!({ "tenant": "acme" }), false),
    ];

    for (name, before, rules_before, after, rules_after, claims, ends) in cases {
        let gateway = Rillgate::start(&with(&before, &route("prices", "/prices/{x}", rules_before))).await;
        let good = bearer(&token(&claims));
        let open = subscribe(&fixture, &gateway, "/prices/x", &good).await;

        reload(&gateway, &with(&after, &route("prices", "/prices/{x}", rules_after))).await;

        match ends {
            true => assert_end(open).await,
            false => assert_continue(&fixture, open).await,
        }
        // The test itself closes the subscriptions that continue; they count as `client`. An end is counted after the
        // client has seen it.
        let expected = if ends { 2.0 } else { 0.0 };
        eventually(DEADLINE, async || {
            let mut ended = Metrics::of(&gateway).await.by("rillgate_subscriptions_ended_total", "reason");
            ended.remove("client");
            println!("{name}: {ended:?}");
            ended.values().sum::<f64>() == expected
        })
        .await;
    }
}

const SHARES: &str = "[routes.share]\nclaims = { x-tenant = \"tenant\" }";

#[tokio::test]
async fn subscriptions_move_to_a_route_s_new_upstream() {
    let fixture = AuthFixture::new().await;
    let other = Origin::start().await;
    let before = format!("[server]\ndrain = {{ spread = \"100ms\" }}\n{}", fixture.config_with_main("5s", ""));
    let after = before.replace(&fixture.origin.url(), &other.url());
    let routes = route("prices", "/prices/{x}", "");
    let gateway = Rillgate::start(&format!("{before}{routes}")).await;
    let good = bearer(&token(&json!({})));
    let open = subscribe(&fixture, &gateway, "/prices/x", &good).await;

    reload(&gateway, &format!("{after}{routes}")).await;

    // Their clients are told to reconnect, as at a restart.
    for mut subscription in open {
        assert!(subscription.expect_end(DEADLINE).await.is_empty());
        assert!(subscription.retries().len() >= 2, "{:?}", subscription.retries());
    }
    wait_metric(&gateway, "rillgate_subscriptions_ended_total", &[("reason", "drain")], 2.0).await;
    let moved = subscribe(&fixture, &gateway, "/prices/x", &good).await;
    other.wait_open(1).await;
    other.emit(Emission::event("1", "", "from elsewhere"));
    for mut subscription in moved {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "from elsewhere");
    }
}
