//! Events, ids, comments and lines over their bounds: they are skipped and reported, and the stream continues.

use crate::support::client::Client;
use crate::support::figures::{metric, wait_lines};
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

const BOUND: &str = "max_event = \"64KiB\"\nbackoff = { initial = \"20ms\", max = \"50ms\" }";

/// Returns six events, the third too large, starting after the requested id.
fn six(after: Option<&str>) -> Answer {
    let after = after.and_then(|id| id.parse().ok()).unwrap_or(0);
    (after + 1..=6).fold(Answer::stream(), |answer, number: usize| {
        let data = if number == 3 { "d".repeat(100_000) } else { "small".to_owned() };
        answer.then(format!("id: {number}\ndata: {data}\n\n"))
    })
}

#[tokio::test]
async fn an_oversized_event_is_skipped_with_a_gap_and_not_requested_again() {
    let origin = Origin::start_with(|request| six(request.last_event_id())).await;
    let setup = Setup::for_origin(&origin.url()).upstream(BOUND).replay("start = \"oldest\"");
    let gateway = setup.start().await;

    for client in both_protocols(&gateway, None) {
        let mut reader = client.subscribe("/prices", &[]).await;
        let ids: Vec<_> = reader.next_events(5).await.into_iter().map(|event| event.last_event_id).collect();

        assert_eq!(ids, ["1", "2", "4", "5", "6"]);
        let told = reader.comments().iter().filter(|comment| comment.contains("gap;reason=too_large")).count();
        assert_eq!(told, 1, "{:?}", reader.comments());
        // A client with the id of the skipped event has missed nothing that it could get.
        let resumed = client.subscribe("/prices", &[("last-event-id", "3")]).await;
        assert_eq!(resumed.header("rillgate-resume"), "resumed;missed=3");
        let before = client.subscribe("/prices", &[("last-event-id", "2")]).await;
        assert_eq!(before.header("rillgate-resume"), "gap;reason=too_large");
    }

    assert_eq!(origin.requests().len(), 1);
    wait_lines(&gateway, &["WARN", "larger than max_event", "stream=/prices", "id=3"], 1).await;
    assert!(metric(&gateway, "gaps_total", &["reason=\"too_large\""]).await >= 1.0);
}

#[tokio::test]
async fn a_skipped_last_event_is_not_requested_after_a_reconnect() {
    let origin = Origin::start_with(|request| match request.number {
        0 => Answer::stream()
            .then(format!("id: 1\ndata: a\n\nid: 2\ndata: {}\n\n", "d".repeat(70_000)))
            .then_cut(Cut::End),
        _ => Answer::stream().then("id: 3\ndata: c\n\n"),
    })
    .await;
    let gateway = Setup::for_origin(&origin.url()).upstream(BOUND).replay("start = \"oldest\"").start().await;

    let mut reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    assert_eq!(reader.next_events(2).await[1].last_event_id, "3");
    assert_eq!(origin.requests()[1].last_event_id(), Some("2"));
}

#[tokio::test]
async fn ignored_lines_have_no_bound_and_ids_may_be_as_long_as_events() {
    let id = "i".repeat(40_000);
    let bodies = [
        format!(":{}\ndata: good\n\n", "c".repeat(300_000)),
        format!("unknown: {}\ndata: good\n\n", "u".repeat(300_000)),
        format!("id: {id}\ndata: good\n\n"),
    ];
    for body in bodies {
        let with_id = body.starts_with("id");
        let origin = Origin::start_with(move |_| Answer::stream().then(body.clone())).await;
        let gateway = Setup::for_origin(&origin.url()).upstream(BOUND).replay("start = \"oldest\"").start().await;
        for client in both_protocols(&gateway, None) {
            let mut reader = client.subscribe("/prices", &[]).await;
            let event = reader.next_event(DEADLINE).await;
            assert_eq!((event.data.as_str(), event.last_event_id.len()), ("good", if with_id { 40_000 } else { 0 }));
        }
        origin.cut(Cut::End);
        eventually(DEADLINE, || async { origin.requests().len() >= 2 }).await;
        assert_eq!(metric(&gateway, "gaps_total", &["reason=\"too_large\""]).await, 0.0);
    }
}
