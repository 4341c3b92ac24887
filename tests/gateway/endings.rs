//! The ends of responses: clean, or aborted for clients that take a clean end as final.

use crate::support::client::Client;
use crate::support::config::plain;
use crate::support::origin::{Emission, Origin};
use crate::support::raw::Raw;
use crate::support::script::{Answer, Cut};
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::DEADLINE;

/// A short `max_age` that still leaves time for the events before the end.
const SHORT_MAX_AGE: &str = "[routes.delivery]\nend = \"cut\"\nmax_age = \"500ms\"";

#[tokio::test]
async fn end_cut_aborts_the_response_after_its_last_event() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), SHORT_MAX_AGE)).await;
    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        let mut connection = client.connect().await.unwrap();
        let mut response = connection.subscribe("/a", &[]).await;
        origin.emit(Emission::event("1", "", "one"));

        let Ending::Broken(why) = response.ending(DEADLINE).await else { panic!("the response ended cleanly") };

        assert_eq!(response.next_event(DEADLINE).await.data, "one");
        assert_eq!(response.retries().len(), 2, "the farewell");
        if client.is_http2() {
            assert!(why.contains("INTERNAL_ERROR"), "{why}");
            let again = connection.subscribe("/a", &[("last-event-id", "1")]).await;
            assert_eq!(again.status.as_u16(), 200, "the connection was closed");
        }
    }
}

#[tokio::test]
async fn an_aborted_http_1_1_response_lacks_only_its_last_chunk() {
    let origin = Origin::start().await;
    let gateway = Rillgate::start(&plain(&origin.url(), SHORT_MAX_AGE)).await;

    let answer = Raw::exchange(&Client::http1(gateway.address()), b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await;

    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(
        answer.ends_with("\n\r\n") && !answer.ends_with("0\r\n\r\n"),
        "expected whole chunks without the last one: {answer}"
    );
}

#[tokio::test]
async fn complete_and_limited_responses_end_cleanly_with_end_cut() {
    let origin = Origin::start_with(|_| Answer::stream().then("id: 1\ndata: 1\n\n").then_cut(Cut::End)).await;
    let route = "on_end = \"complete\"\n[routes.replay]\nstart = \"oldest\"\n[routes.delivery]\nend = \"cut\"";
    let gateway = Rillgate::start(&plain(&origin.url(), route)).await;

    for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
        for target in ["/a", "/a?limit=1", "/a?follow=false"] {
            assert_eq!(client.subscribe(target, &[]).await.expect_end(DEADLINE).await.len(), 1, "{target}");
        }
    }
}

#[tokio::test]
async fn streams_send_incremental_unless_disabled() {
    let origin = Origin::start().await;
    for (route, said) in [("", "?1"), ("[routes.delivery]\nincremental = false", "")] {
        let gateway = Rillgate::start(&plain(&origin.url(), route)).await;
        for client in [Client::http1(gateway.address()), Client::http2(gateway.address())] {
            assert_eq!(client.subscribe("/a", &[]).await.header("incremental"), said);
            assert_eq!(client.try_request("HEAD", "/a", &[]).await.unwrap().header("incremental"), said);
        }
    }
}
