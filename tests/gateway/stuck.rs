//! Upstreams that fail repeatedly at the same id, as the operator sees them.

use crate::support::client::Client;
use crate::support::figures::{admin, metric, wait_lines, watch_for};
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const QUICK: &str = "backoff = { initial = \"20ms\", max = \"200ms\" }";

#[tokio::test]
async fn an_upstream_that_fails_at_the_same_id_is_stuck_until_it_advances() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream().then("id: 1\ndata: one\n\n").then_cut(Cut::TruncatedChunk),
        _ => Answer::stream().header("content-type", "text/html"),
    })
    .await;
    let gateway = Setup::for_origin(&origin.url()).upstream(QUICK).start().await;
    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    eventually(DEADLINE, || async { admin(&gateway, "/streams").await.1.contains("\"state\":\"stuck\"") }).await;
    eventually(DEADLINE, || async { metric(&gateway, "streams", &["state=\"stuck\""]).await == 1.0 }).await;
    let asked = origin.requests().len();
    eventually(DEADLINE, || async { origin.requests().len() > asked + 3 }).await;
    wait_lines(&gateway, &["WARN", "stream stuck", "after=1"], 1).await;

    origin.answer(|_| Answer::stream().then("id: 2\ndata: two\n\n"));
    eventually(DEADLINE, || async { admin(&gateway, "/streams").await.1.contains("\"state\":\"live\"") }).await;
    while reader.next_event(DEADLINE).await.data != "two" {}
}

#[tokio::test]
async fn a_finite_producer_without_ids_is_retried_slowly_with_a_warning() {
    let origin = Origin::start_with(|_| Answer::stream().then("data: all there is\n\n").then_cut(Cut::End)).await;
    let backoff = "backoff = { initial = \"100ms\", max = \"30s\" }";
    let gateway = Setup::for_origin(&origin.url()).upstream(backoff).start().await;
    let _reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    watch_for(std::time::Duration::from_secs(5)).await;

    let asked = origin.requests().len();
    assert!((2..=16).contains(&asked), "{asked} requests in 5 s");
    wait_lines(&gateway, &["WARN", "on_end = \"complete\""], 1).await;
    let counted = || async { metric(&gateway, "upstream_fruitless_ends_total", &["route=\"all\""]).await };
    eventually(DEADLINE, || async { counted().await >= (asked - 1) as f64 }).await;
}
