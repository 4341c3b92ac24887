//! The limit `subscriptions_per_subject`, and the replacement of subscriptions that have stopped reading.

use serde_json::json;

use crate::support::origin::Emission;
use crate::support::wait::DEADLINE;

use super::fixture::{AuthFixture, PROTOCOLS, bearer, claims, route, token, wait_metric, without_subject};
use super::support::ISSUER;
use crate::support::client::Protocol;

#[tokio::test]
async fn a_subject_cannot_exceed_its_subscriptions() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}\n[limits]\nsubscriptions_per_subject = 3\nsubscribers = 8",
        route("prices", "/prices/{symbol}", "")
    );
    let gateway = fixture.start(&rest).await;
    let (alice, bob) = (bearer(&token(&json!({}))), bearer(&token(&json!({ "sub": "bob" }))));
    // Another token of the same subject counts towards the same limit.
    let again = bearer(&token(&json!({ "jti": "another" })));
    let mut open = Vec::new();
    for (number, token) in [&alice, &again, &alice].into_iter().enumerate() {
        let client = fixture.client(PROTOCOLS[number % 2], &gateway);
        open.push(client.subscribe(&format!("/prices/{number}"), &[("authorization", token)]).await);
    }

    for protocol in PROTOCOLS {
        let mut refused = fixture.client(protocol, &gateway).subscribe("/prices/x", &[("authorization", &again)]).await;
        assert_eq!(refused.status.as_u16(), 429);
        assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert!(refused.text().await.contains("\"reason\":\"subscriptions_per_subject\""));
        let other = fixture.client(protocol, &gateway).subscribe("/prices/x", &[("authorization", &bob)]).await;
        assert_eq!(other.status.as_u16(), 200);
    }

    // Refused requests do not count towards the limits of others.
    for _ in 0..20 {
        let client = fixture.client(Protocol::Http2, &gateway);
        assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 429);
    }
    let other = fixture.client(Protocol::Http2, &gateway).subscribe("/prices/x", &[("authorization", &bob)]).await;
    assert_eq!(other.status.as_u16(), 200);
    drop(other);
    assert!(open.iter().all(|client| client.status.as_u16() == 200));
    open.pop();
    wait_metric(&gateway, "rillgate_subscribers", &[("route", "prices")], 2.0).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &alice)]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_same_subject_of_another_issuer_is_another_subject() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        r#"
        [limits]
        subscriptions_per_subject = 1
        [issuers.other]
        issuer = "https://other.example.com/"
        audience = ["rillgate"]
        keys = [{{ pem_file = "{}", algorithm = "ES256", kid = "ec" }}]
        [[routes]]
        name = "prices"
        path = "/prices/{{symbol}}"
        upstream = "origin"
        auth = {{ issuers = ["main", "other"] }}
        "#,
        fixture.file("ec.pem")
    );
    let gateway = fixture.start(&rest).await;
    let mut open = Vec::new();

    for (issuer, statuses) in [(ISSUER, [200, 429]), ("https://other.example.com/", [200, 429])] {
        let token = bearer(&token(&claims(&json!({ "iss": issuer }))));
        for status in statuses {
            let client = fixture.client(Protocol::Http2, &gateway);
            open.push(client.subscribe("/prices/x", &[("authorization", &token)]).await);
            assert_eq!(open.last().unwrap().status.as_u16(), status, "{issuer}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_subject_counts_by_its_claims() {
    let fixture = AuthFixture::new().await;
    let limits = "[limits]\nsubscriptions_per_subject = 2";
    let gateway = fixture.start(&format!("{}\n{limits}", route("prices", "/prices/{symbol}", ""))).await;
    let (one, other) = (bearer(&without_subject("t1")), bearer(&without_subject("t2")));
    let mut open = Vec::new();

    for (token, expected) in [(&one, 200), (&one, 200), (&one, 429), (&other, 200), (&other, 200), (&other, 429)] {
        let client = fixture.client(Protocol::Http2, &gateway);
        open.push(client.subscribe("/prices/x", &[("authorization", token)]).await);
        assert_eq!(open.last().unwrap().status.as_u16(), expected);
    }

    drop(open);
    wait_metric(&gateway, "rillgate_subscribers", &[("route", "prices")], 0.0).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    assert_eq!(client.subscribe("/prices/x", &[("authorization", &one)]).await.status.as_u16(), 200);
}

const REPLACED: &[(&str, &str)] = &[("reason", "replaced")];

#[tokio::test]
async fn a_subscription_that_stops_reading_is_replaced_by_its_subject_s_next() {
    for protocol in PROTOCOLS {
        let fixture = AuthFixture::new().await;
        let limits = "[limits]\nsubscriptions_per_subject = 2\nsubject_overflow = \"replace\"";
        let gateway = fixture.start(&format!("{}\n{limits}", route("prices", "/prices/{symbol}", ""))).await;
        let alice = bearer(&token(&json!({})));
        let alice = [("authorization", alice.as_str())];
        let client = fixture.client(protocol, &gateway);
        let mut healthy = client.subscribe("/prices/a", &alice).await;
        let _stopped = client.clone().receive_buffer(4096).window(16 * 1024).subscribe("/prices/b", &alice).await;
        assert_eq!(client.subscribe("/prices/c", &alice).await.status.as_u16(), 429, "a reading client was replaced");

        fixture.origin.wait_open(2).await;
        for number in 0..1000 {
            fixture.origin.emit(Emission::event(&number.to_string(), "", &"d".repeat(8 * 1024)));
        }
        assert_eq!(healthy.next_events(1000).await.len(), 1000);
        let next = client.subscribe("/prices/c", &alice).await;
        assert_eq!(next.status.as_u16(), 200, "{protocol:?}");
        wait_metric(&gateway, "rillgate_subscriptions_ended_total", REPLACED, 1.0).await;
        fixture.origin.emit(Emission::event("last", "", "d"));
        assert_eq!(healthy.next_event(DEADLINE).await.last_event_id, "last");
    }
}

#[tokio::test]
async fn two_devices_at_the_limit_do_not_keep_replacing_each_other() {
    for protocol in PROTOCOLS {
        let fixture = AuthFixture::new().await;
        let limits = "[limits]\nsubscriptions_per_subject = 1\nsubject_overflow = \"replace\"";
        let gateway = fixture.start(&format!("{}\n{limits}", route("prices", "/prices/{symbol}", ""))).await;
        let alice = bearer(&token(&json!({})));
        let alice = [("authorization", alice.as_str())];
        let client = fixture.client(protocol, &gateway);
        let mut one = client.subscribe("/prices/a", &alice).await;
        let other = client.subscribe("/prices/a", &alice).await;
        assert_eq!(other.status.as_u16(), 200);

        one.expect_end(DEADLINE).await;
        assert_eq!(one.retries().len(), 2, "one at the start and one at the end");
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 1500 {
            assert_eq!(client.subscribe("/prices/a", &alice).await.status.as_u16(), 429, "{protocol:?}");
        }
        wait_metric(&gateway, "rillgate_subscriptions_ended_total", REPLACED, 1.0).await;
    }
}
