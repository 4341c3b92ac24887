//! A response ends with its token, for every protocol and every kind of reader.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, SOON, bearer, in_seconds, route, token, wait_metric};
use crate::support::client::Protocol;
use crate::support::origin::Emission;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::subscription::{Ending, Subscription};
use crate::support::wait::{DEADLINE, eventually};

/// The number of streams over HTTP/2 (200 per connection) and over HTTP/1.1.
const HTTP2: usize = 800;
const HTTP1: usize = 200;

/// Waits for the end and returns the seconds from the token's expiry to it, and its kind.
async fn ends(mut subscription: Subscription, expiry: f64) -> (f64, Ending) {
    assert_eq!(subscription.status.as_u16(), 200);
    let ending = subscription.ending(Duration::from_secs(90)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    (now - expiry, ending)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_end_cleanly_within_a_second_of_their_tokens() {
    let fixture = AuthFixture::new().await;
    let rest = format!("{}\n[limits]\nsubscriptions_per_subject = 2000", route("prices", "/prices/{symbol}", ""));
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &rest)).await;
    // Each token has its own expiry: some seconds after its request, spread over six seconds.
    let expiry = |number: usize| in_seconds(5.0 + 6.0 * (number as f64 / (HTTP1 + HTTP2) as f64));
    let ask = |number: usize| {
        let expiry = expiry(number);
        (bearer(&token(&json!({ "exp": expiry }))), expiry)
    };
    let over_http2 = (0..HTTP2 / 200).map(|connection| {
        let client = fixture.client(Protocol::Http2, &gateway);
        async move {
            let mut open = client.connect().await.unwrap();
            let mut subscriptions = Vec::new();
            for number in 0..200 {
                let (token, expiry) = ask(connection * 200 + number);
                let subscription = open.subscribe("/prices/x", &[("authorization", &token)]).await;
                subscriptions.push(tokio::spawn(ends(subscription, expiry)));
            }
            subscriptions
        }
    });
    let over_http1 = (0..4).map(|lane| {
        let client = fixture.client(Protocol::Http1, &gateway);
        async move {
            let mut subscriptions = Vec::new();
            for number in (lane..HTTP1).step_by(4) {
                let (token, expiry) = ask(HTTP2 + number);
                let subscription = client.subscribe("/prices/x", &[("authorization", &token)]).await;
                subscriptions.push(tokio::spawn(ends(subscription, expiry)));
            }
            subscriptions
        }
    });
    let (over_http2, over_http1) = tokio::join!(join_all(over_http2), join_all(over_http1));
    let ended = join_all(over_http2.into_iter().chain(over_http1).flatten()).await;
    let ended: Vec<_> = ended.into_iter().map(Result::unwrap).collect();

    let latest = ended.iter().map(|(late, _)| *late).fold(f64::MIN, f64::max);
    let earliest = ended.iter().map(|(late, _)| *late).fold(f64::MAX, f64::min);
    println!("{} streams ended between {earliest:.3} s and {latest:.3} s after their tokens expired", ended.len());
    assert!(ended.iter().all(|(_, ending)| *ending == Ending::Clean));
    assert!(latest < SOON.as_secs_f64() && earliest > -0.1, "{earliest} to {latest}");
    let reason = [("route", "prices"), ("reason", "expired")];
    wait_metric(&gateway, "rillgate_subscriptions_ended_total", &reason, (HTTP1 + HTTP2) as f64).await;
    assert_eq!(Metrics::of(&gateway).await.sum("rillgate_subscribers", &[]), 0.0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_alone_when_its_token_expires() {
    let fixture = AuthFixture::new().await;
    let rest = format!(
        "{}{}",
        route("flood", "/flood", "[routes.replay]\nbytes = \"256MiB\"\nstart = \"oldest\""),
        route("prices", "/prices/{symbol}", ""),
    );
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &rest)).await;
    // Together they exceed all buffers between the origin and the client.
    let event = Bytes::from(format!("data: {}\n\n", "x".repeat(256 * 1024)));
    fixture.origin.answer(move |request| match request.target.as_str() {
        "/flood" => (0..100).fold(Answer::stream(), |answer, _| answer.then(event.clone())),
        _ => Answer::stream(),
    });
    let lasting = bearer(&token(&json!({})));

    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway).window(64 * 1024);
        let expiry = in_seconds(4.0);
        let short = bearer(&token(&json!({ "exp": expiry })));
        let mut connection = client.connect().await.unwrap();
        let mut stalled = connection.subscribe("/flood", &[("authorization", &short)]).await;
        let mut sibling = match protocol {
            Protocol::Http2 => connection.subscribe("/prices/x", &[("authorization", &lasting)]).await,
            Protocol::Http1 => client.subscribe("/prices/x", &[("authorization", &lasting)]).await,
        };
        let label = match protocol {
            Protocol::Http1 => "h1",
            Protocol::Http2 => "h2",
        };
        let flood = [("route", "flood"), ("protocol", label)];
        eventually(DEADLINE, || async { Metrics::of(&gateway).await.sum("rillgate_subscribers", &flood) == 0.0 }).await;
        let late = -(expiry - in_seconds(0.0));

        assert!((0.0..1.0).contains(&late), "{protocol:?}: {late} s");
        println!("{protocol:?}: a client that did not read was cut off {late:.3} s after its token expired");
        assert_ne!(stalled.ending(DEADLINE).await, Ending::Clean);
        fixture.origin.emit(Emission::event("last", "", "still here"));
        while sibling.next_event(DEADLINE).await.data != "still here" {}
    }

    let ended = Metrics::of(&gateway).await.by("rillgate_subscriptions_ended_total", "reason");
    assert_eq!(ended.get("expired"), Some(&2.0), "{ended:?}");
}

#[tokio::test]
async fn the_leeway_extends_the_life_of_a_response() {
    let fixture = AuthFixture::new().await;
    let gateway = Rillgate::start(&fixture.config_with_main("3s", &route("prices", "/prices/{symbol}", ""))).await;

    for protocol in PROTOCOLS {
        // The token has already expired, by less than the leeway.
        let expiry = in_seconds(-1.0);
        let token = bearer(&token(&json!({ "exp": expiry })));
        let client = fixture.client(protocol, &gateway);
        let subscription = client.subscribe("/prices/x", &[("authorization", &token)]).await;
        assert_eq!(subscription.status.as_u16(), 200);

        let (late, ending) = ends(subscription, expiry).await;

        assert_eq!(ending, Ending::Clean);
        assert!((3.0..4.0).contains(&late), "{late}");
        let refused = client.subscribe("/prices/x", &[("authorization", &token)]).await;
        assert_eq!(refused.status.as_u16(), 401);
    }
}

#[tokio::test]
async fn without_enforcement_streams_outlive_their_tokens() {
    let fixture = AuthFixture::new().await;
    let routes = format!(
        "{}{}",
        route("strict", "/strict/{symbol}", ""),
        route("shadow", "/shadow/{symbol}", "enforce = false")
    );
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &routes)).await;

    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        let token = bearer(&token(&json!({ "exp": in_seconds(2.0) })));
        let mut shadow = client.subscribe("/shadow/x", &[("authorization", &token)]).await;
        let mut strict = client.subscribe("/strict/x", &[("authorization", &token)]).await;
        assert_eq!((shadow.status.as_u16(), strict.status.as_u16()), (200, 200));

        strict.expect_end(DEADLINE).await;
        fixture.origin.emit(Emission::event("1", "", "still there"));

        assert_eq!(shadow.next_event(DEADLINE).await.data, "still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_expire_together_end_their_responses_spread_out_before() {
    let fixture = AuthFixture::new().await;
    let rest = route("prices", "/prices/{symbol}", "expiry_spread = \"1h\"");
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &rest)).await;
    let expiry = in_seconds(62.0).floor();
    let token = bearer(&token(&json!({ "exp": expiry })));
    let mut subscriptions = Vec::new();
    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        for _ in 0..10 {
            subscriptions.push(client.subscribe("/prices/x", &[("authorization", &token)]).await);
        }
    }

    let ended = join_all(subscriptions.into_iter().map(|subscription| ends(subscription, expiry))).await;

    let early: Vec<f64> = ended.iter().map(|(after, _)| -after).collect();
    let (first, last) = (early.iter().copied().fold(0.0, f64::max), early.iter().copied().fold(9.0, f64::min));
    assert!(ended.iter().all(|(_, ending)| *ending == Ending::Clean));
    assert!(last > -1.0 && first < 6.5, "ended {early:?} s before the expiry");
    assert!(first - last > 1.0, "ended together: {early:?} s before the expiry");
}

#[tokio::test]
async fn an_unenforced_expiry_is_counted_and_the_stream_continues() {
    let fixture = AuthFixture::new().await;
    let rest = route("prices", "/prices/{symbol}", "enforce = false");
    let gateway = Rillgate::start(&fixture.config_with_main("0s", &rest)).await;
    let token = bearer(&token(&json!({ "exp": in_seconds(2.0) })));
    let mut subscriptions = Vec::new();
    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        subscriptions.push(client.subscribe("/prices/x", &[("authorization", &token)]).await);
    }

    wait_metric(&gateway, "rillgate_auth_failures_total", &[("route", "prices"), ("reason", "expired")], 2.0).await;

    fixture.origin.emit(Emission::event("1", "", "still here"));
    for subscription in &mut subscriptions {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "still here");
    }
}
