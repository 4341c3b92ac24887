//! Every kind of `Retry-After` from an upstream, against the gateway's bounds.
//!
//! The gateway answers with its own bounded value and keeps serving other clients.

use crate::support::client::Client;
use crate::support::figures::lines_with;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Request};
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::DEADLINE;

/// Values of the upstream, including some that overflow a u64, and the seconds that clients get.
const WISHES: [(&str, u32); 5] =
    [("0", 1), ("5", 5), ("86400", 300), ("18446744073709551615", 300), ("99999999999999999999999999", 300)];

fn busy_as_the_path_says(request: &Request) -> Answer {
    match request.target.strip_prefix("/busy-") {
        Some(wish) => Answer::status(429).header("retry-after", wish),
        None => Answer::stream().then("data: good\n\n"),
    }
}

#[tokio::test]
async fn every_retry_after_is_respected_up_to_its_bound() {
    let origin = Origin::start_with(busy_as_the_path_says).await;
    let backoff = "backoff = { initial = \"1ms\", max = \"500ms\" }";
    let gateway = Setup::for_origin(&origin.url()).upstream(backoff).start().await;

    for client in both_protocols(&gateway, None) {
        for (wish, told) in WISHES {
            let refused = client.subscribe(&format!("/busy-{wish}"), &[]).await;
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, &*told.to_string()), "{wish}");
        }
    }

    assert_eq!(lines_with(&gateway, &["panicked"]), 0);
}

#[tokio::test]
async fn a_soft_refusal_accepts_every_retry_after_and_affects_only_its_stream() {
    let origin = Origin::start_with(busy_as_the_path_says).await;
    let gateway = Setup::for_origin(&origin.url()).route("soft_refusal = true").start().await;

    for (wish, told) in WISHES {
        let mut connection = Client::http2(gateway.address()).connect().await.unwrap();
        let mut good = connection.subscribe(&format!("/good-{wish}"), &[]).await;
        let mut refused = connection.subscribe(&format!("/busy-{wish}"), &[]).await;

        assert!(refused.expect_end(DEADLINE).await.is_empty());
        let told = std::time::Duration::from_secs(told.into()).max(std::time::Duration::from_secs(2));
        assert!((told..=told * 2).contains(&refused.retries()[0]), "{wish}: {:?}", refused.retries());
        assert_eq!(good.next_event(DEADLINE).await.data, "good", "another stream on the same connection");
    }

    assert_eq!(lines_with(&gateway, &["panicked"]), 0);
}
