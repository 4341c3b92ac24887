//! An edge translates the verdicts and refusals that its core reports in the stream.

use std::time::{Duration, Instant};

use crate::chain_fixture::QUICK;
use crate::support::client::Client;
use crate::support::figures::watch_for;
use crate::support::origin::{Emission, Origin};
use crate::support::reserved_addr::reserve;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::DEADLINE;

fn edge_of(core: &Rillgate) -> Setup {
    Setup::for_origin(&format!("http://{}", core.address())).upstream(QUICK)
}

#[tokio::test]
async fn a_gap_in_the_stream_of_a_core_keeps_its_reason() {
    for form in ["comment", "gap", "event"] {
        let origin = Origin::start().await;
        let verdict = format!("verdict = \"{form}\"");
        let core =
            Setup::for_origin(&origin.url()).upstream(&format!("{QUICK}\nmax_event = \"256B\"")).replay(&verdict);
        let core = core.start().await;
        let edge = edge_of(&core).start().await;
        let mut client = Client::http1(edge.address()).subscribe("/prices", &[]).await;
        origin.wait_open(1).await;
        origin.emit(Emission::event("1", "", "one"));
        assert_eq!(client.next_event(DEADLINE).await.data, "one");

        origin.emit(Emission::event("2", "", &"x".repeat(512)));
        origin.emit(Emission::event("3", "", "three"));

        assert_eq!(client.next_event(DEADLINE).await.data, "three");
        let gaps: Vec<_> = client.comments().iter().filter(|comment| comment.contains("gap")).collect();
        assert_eq!(gaps, [" rillgate-resume: gap;reason=too_large"], "{form}");
        let resumed = Client::http2(edge.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
        assert_eq!(resumed.header("rillgate-resume"), "gap;reason=too_large", "{form}");
    }
}

#[tokio::test]
async fn a_refusal_that_a_core_tells_after_its_head_is_the_status_of_the_edge() {
    let origin = Origin::start_with(|_| Answer::waiting()).await;
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).delivery("answer_within = \"20ms\"").start().await;
    let edge = edge_of(&core).start().await;
    let client = Client::http1(edge.address());
    let request = tokio::spawn(async move { client.subscribe("/prices", &[]).await });
    origin.wait_open(1).await;
    // Longer than `answer_within` of the core.
    watch_for(Duration::from_millis(300)).await;

    origin.emit("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");

    assert_eq!(request.await.unwrap().status, 404);
    edge.wait_line("after its head: 404 upstream_not_found", DEADLINE).await;
}

#[tokio::test]
async fn an_edge_waits_for_the_verdict_of_its_core() {
    let origin = Origin::start_with(|_| Answer::waiting()).await;
    let delivery = "answer_within = \"20ms\"";
    let core = Setup::for_origin(&origin.url()).upstream(QUICK).delivery(delivery).start().await;
    let edge = edge_of(&core).delivery(delivery).start().await;
    let mut clients = Vec::new();
    for client in both_protocols(&edge, None) {
        let client = client.subscribe("/prices", &[]).await;
        assert_eq!(client.header("rillgate-resume"), "pending");
        clients.push(client);
    }
    origin.wait_open(1).await;

    origin.emit("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 1\ndata: one\n\n");

    for client in &mut clients {
        client.next_comment("rillgate-resume: live", DEADLINE).await;
        assert_eq!(client.next_event(DEADLINE).await.data, "one");
    }
}

#[tokio::test]
async fn a_client_of_a_new_edge_waits_for_a_core_that_is_away() {
    for when_down in ["hold", "refuse"] {
        let origin = Origin::start().await;
        origin.honour_last_event_id();
        for number in ["1", "2", "3"] {
            origin.emit(Emission::event(number, "", number));
        }
        let address = reserve();
        let core = Setup::for_origin(&origin.url()).upstream(QUICK).replay("read_through = true").toml_at(address);
        let edge = Setup::for_origin(&format!("http://{address}")).upstream(QUICK).replay("read_through = true");
        let delivery = format!("answer_within = \"20ms\"\nwhen_down = \"{when_down}\"");
        let edge = edge.delivery(&delivery).start().await;

        let mut client = Client::http1(edge.address()).subscribe("/prices", &[("last-event-id", "1")]).await;
        if when_down == "refuse" {
            assert_eq!(client.status, 503);
            continue;
        }
        assert_eq!(client.header("rillgate-resume"), "pending");
        let _core = Rillgate::start(&core).await;

        client.next_comment("rillgate-resume: resumed;missed=2", DEADLINE).await;
        assert_eq!([client.next_event(DEADLINE).await.data, client.next_event(DEADLINE).await.data], ["2", "3"]);
    }
}

#[tokio::test]
async fn a_client_whose_core_stays_away_gets_a_gap_within_open_timeout() {
    let silent = Origin::start_with(|_| Answer::silence()).await;
    for core in [format!("http://{}", reserve()), silent.url()] {
        let edge = Setup::for_origin(&core)
            .upstream("backoff = { initial = \"20ms\", max = \"50ms\" }\nopen_timeout = \"2s\"")
            .replay("read_through = true");
        let edge = edge.start().await;
        let begun = Instant::now();

        let client = Client::http1(edge.address()).subscribe("/prices", &[("last-event-id", "1")]).await;

        assert_eq!(client.header("rillgate-resume"), "gap;reason=unknown");
        // The opening and the wait for the history share the time.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn the_last_retry_of_a_draining_core_is_not_passed_on() {
    let origin = Origin::start().await;
    let core =
        Setup::for_origin(&origin.url()).upstream(QUICK).server("drain.notice = \"0s\"\ndrain.spread = \"10ms\"");
    let core = core.delivery("retry = \"7s\"").start().await;
    let edge = edge_of(&core).start().await;
    let mut client = Client::http1(edge.address()).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    origin.emit("retry: 3333\nid: 1\ndata: one\n\n");
    client.next_event(DEADLINE).await;

    core.signal("TERM");
    edge.wait_line("upstream lost", DEADLINE).await;

    let late = Client::http1(edge.address()).subscribe("/prices", &[]).await;
    drop(late);
    // The prelude's own, and that of the producer.
    let told: Vec<_> = client.retries().iter().map(|retry| retry.as_millis()).collect();
    assert_eq!((told.len(), told[1]), (2, 3333), "{told:?}");
}
