//! Key rotation, and a flood of tokens with unknown keys, while a thousand clients read.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::json;

use super::fixture::{AuthFixture, Metrics, SOON, bearer, route, token_by};
use super::keys::{config, jwks};
use super::support::keys;
use crate::support::client::Protocol;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, within};

const CONNECTIONS: usize = 5;
const STREAMS: usize = 200;
const MADE_UP: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_rotation_under_load_is_seamless_and_unknown_keys_cost_one_fetch() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("one", &keys().ec)])).await;
    let rest = format!(
        "{}\n[limits]\nsubscriptions_per_subject = 2000\nresets_per_connection = 1000000",
        route("prices", "/prices/{symbol}", "")
    );
    let gateway = Rillgate::start(&config(&fixture, &id, "5m", &rest)).await;
    let client = fixture.client(Protocol::Http2, &gateway);
    let first = bearer(&token_by("one", &keys().ec, &json!({})));
    let subscribed = (0..CONNECTIONS).map(|_| async {
        let mut connection = client.connect().await.unwrap();
        let mut subscriptions = Vec::new();
        for _ in 0..STREAMS {
            subscriptions.push(connection.subscribe("/prices/x", &[("authorization", &first)]).await);
        }
        subscriptions
    });
    let mut subscriptions: Vec<_> = join_all(subscribed).await.into_iter().flatten().collect();
    assert!(subscriptions.iter().all(|subscription| subscription.status.as_u16() == 200));
    assert_eq!(id.requests().len(), 1);

    // A new key is added, and the old one stays.
    id.answer(|_| jwks(&[("one", &keys().ec), ("two", &keys().foreign_ec)]));
    let second = bearer(&token_by("two", &keys().foreign_ec, &json!({})));
    let begun = Instant::now();
    let with_new_key = client.subscribe("/prices/x", &[("authorization", &second)]).await;
    let taken = begun.elapsed();
    assert_eq!(with_new_key.status.as_u16(), 200);
    assert!(taken < SOON, "{taken:?}");
    assert_eq!(id.requests().len(), 2);

    // Then come tokens whose keys do not exist.
    let (_, rest) = first.split_once('.').expect("three parts");
    let flooding = (0..CONNECTIONS).map(|number| {
        let (client, id) = (&client, &id);
        async move {
            let mut connection = client.connect().await.unwrap();
            for kid in (number..MADE_UP).step_by(CONNECTIONS) {
                let header = json!({ "alg": "ES256", "kid": format!("made-up-{kid}") });
                let token = bearer(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())));
                let answer = connection.subscribe("/prices/x", &[("authorization", &token)]).await;
                assert_eq!(answer.status.as_u16(), 401);
                assert!(id.requests().len() <= 3);
            }
        }
    });
    let flood = Instant::now();
    within(Duration::from_secs(120), "end of the flood", join_all(flooding)).await;
    println!("{MADE_UP} tokens with made-up keys in {:?}; new key in {taken:?}", flood.elapsed());

    assert_eq!(id.requests().len(), 3, "one for the start, one for the rotation, one for all made-up keys");
    let counted = Metrics::of(&gateway).await;
    assert_eq!(counted.sum("rillgate_auth_failures_total", &[("reason", "unknown_key")]), MADE_UP as f64);
    assert_eq!(counted.sum("rillgate_subscriptions_ended_total", &[]), 0.0);
    fixture.origin.wait_open(1).await;
    fixture.origin.emit(Emission::event("1", "", "nobody noticed"));
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "nobody noticed");
    }
    let again = client.subscribe("/prices/x", &[("authorization", &second)]).await;
    assert_eq!(again.status.as_u16(), 200);
}
