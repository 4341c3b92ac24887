//! A gateway (the edge) whose upstream is another gateway (the core): the core's verdicts and preludes are not events.

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::DEADLINE;

const QUICK: &str = "backoff = { initial = \"20ms\", max = \"50ms\" }";

async fn chain(origin: &Origin, core_verdict: &str, edge_verdict: &str) -> (Rillgate, Rillgate) {
    let verdict = |form: &str| format!("verdict = \"{form}\"");
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).replay(&verdict(core_verdict)).start().await;
    let core_url = format!("http://{}", core.address());
    let edge = Setup::for_origin(&core_url).upstream(QUICK).replay(&verdict(edge_verdict)).start().await;
    (core, edge)
}

fn gaps(reader: &Subscription) -> usize {
    reader.comments().iter().filter(|comment| comment.contains("gap;reason=upstream")).count()
}

#[tokio::test]
async fn a_gap_at_the_core_reaches_the_clients_of_an_edge() {
    for core_verdict in ["comment", "gap", "event"] {
        let origin = Origin::start().await;
        let (_core, edge) = chain(&origin, core_verdict, "comment").await;
        let mut reader = Client::http1(edge.address()).subscribe("/prices", &[]).await;
        origin.emit("id: 1\ndata: one\n\n");
        assert_eq!(reader.next_event(DEADLINE).await.data, "one");
        assert_eq!(gaps(&reader), 0);

        // Events of the time between the two connections are lost, so the core reports a gap.
        origin.cut(Cut::End);
        origin.wait_open(1).await;
        origin.emit("id: 3\ndata: three\n\n");

        let event = reader.next_event(DEADLINE).await;
        assert_eq!((event.kind.as_str(), event.data.as_str()), ("message", "three"), "{core_verdict}");
        assert_eq!(gaps(&reader), 1, "{core_verdict}: {:?}", reader.comments());
        // A client that resumes across the gap is told too.
        let resumed = Client::http1(edge.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
        assert_eq!(resumed.header("rillgate-resume"), "gap;reason=upstream", "{core_verdict}");
    }
}

#[tokio::test]
async fn a_gap_inside_a_core_replay_is_reported_at_its_position() {
    let origin = Origin::start().await;
    let (core, edge) = chain(&origin, "comment", "comment").await;
    let mut reader = Client::http1(edge.address()).subscribe("/prices", &[]).await;
    let mut at_core = Client::http1(core.address()).subscribe("/prices", &[]).await;
    origin.emit("id: 1\ndata: one\n\n");
    reader.next_event(DEADLINE).await;
    at_core.next_event(DEADLINE).await;

    origin.cut(Cut::End);
    origin.wait_open(1).await;
    origin.emit("id: 3\ndata: three\n\nid: 4\ndata: four\n\n");
    let seen = [reader.next_event(DEADLINE).await.data, reader.next_event(DEADLINE).await.data];

    assert_eq!(seen, ["three", "four"]);
    assert_eq!(gaps(&reader), 1);
}

#[tokio::test]
async fn verdicts_and_preludes_of_the_core_are_not_events_of_the_edge() {
    let origin = Origin::start_with(|_| Answer::stream().then("id: 1\ndata: one\n\n")).await;
    let (_core, edge) = chain(&origin, "event", "event").await;
    let mut retries = std::collections::BTreeSet::new();

    for _ in 0..10 {
        let mut reader = Client::http1(edge.address()).subscribe("/prices", &[]).await;
        let verdict = reader.next_event(DEADLINE).await;
        assert_eq!((verdict.kind.as_str(), verdict.data.as_str()), ("rillgate.resume", "{\"resume\":\"live\"}"));
        retries.insert(reader.retries()[0]);
        let all = Client::http1(edge.address()).subscribe("/prices?follow=false", &[]).await.expect_end(DEADLINE).await;
        assert!(all.iter().filter(|event| event.kind == "rillgate.resume").count() <= 1, "{all:?}");
    }

    assert!(retries.len() > 1, "all clients got the same retry: {retries:?}");
}
