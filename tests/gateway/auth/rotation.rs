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
async fn key_rotation_under_load_is_seamless_and_unknown_keys_cost_few_fetches() {
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
        let client = &client;
        async move {
            let mut connection = client.connect().await.unwrap();
            for kid in (number..MADE_UP).step_by(CONNECTIONS) {
                let header = json!({ "alg": "ES256", "kid": format!("made-up-{kid}") });
                let token = bearer(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())));
                let answer = connection.subscribe("/prices/x", &[("authorization", &token)]).await;
                // Six fetches answer their tokens; the others cannot be told from those of a new key.
                match answer.status.as_u16() {
                    401 => {}
                    503 => assert!((1..=10).contains(&answer.header("retry-after").parse::<u32>().unwrap())),
                    other => panic!("{other}"),
                }
            }
        }
    });
    let flood = Instant::now();
    within(Duration::from_secs(120), "end of the flood", join_all(flooding)).await;
    println!("{MADE_UP} tokens with made-up keys in {:?}; new key in {taken:?}", flood.elapsed());

    let most = 2 + 6 + 1 + usize::try_from(flood.elapsed().as_secs() / 10).unwrap();
    assert!((8..=most).contains(&id.requests().len()), "{} fetches, at most {most}", id.requests().len());
    let counted = Metrics::of(&gateway).await;
    let failures = |reason| counted.sum("rillgate_auth_failures_total", &[("reason", reason)]);
    assert_eq!(failures("unknown_key") + failures("keys_unavailable"), MADE_UP as f64);
    let refused = counted.sum("rillgate_shares_refused_total", &[("room", "jwks_fetches")]);
    assert_eq!(refused, failures("keys_unavailable"));
    assert!(refused > 0.0);
    assert_eq!(counted.sum("rillgate_subscriptions_ended_total", &[]), 0.0);
    fixture.origin.wait_open(1).await;
    fixture.origin.emit(Emission::event("1", "", "nobody noticed"));
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "nobody noticed");
    }
    let again = client.subscribe("/prices/x", &[("authorization", &second)]).await;
    assert_eq!(again.status.as_u16(), 200);
}
