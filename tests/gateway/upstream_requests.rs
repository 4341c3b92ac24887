//! Requests that resume at an upstream, and request headers that a configuration may replace.

use crate::support::client::Client;
use crate::support::origin::{Emission, Origin};
use crate::support::script::{Answer, Cut};
use crate::support::setup::Setup;
use crate::support::wait::DEADLINE;

const QUICK: &str = "backoff = { initial = \"10ms\", max = \"100ms\" }";

/// Returns the request after an event with this id: target and `Last-Event-ID`.
async fn asked_after(upstream: &str, id: &str) -> (String, Option<String>) {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).upstream(QUICK).upstream(upstream);
    let gateway = setup.route("share = { query = [\"page\"] }").limits("header_bytes = \"64KiB\"").start().await;
    let mut client = Client::http1(gateway.address()).subscribe("/prices?page=1", &[]).await;
    origin.wait_open(1).await;
    assert_eq!(origin.requests()[0].target, "/prices?page=1", "the first request has an id");
    origin.emit(Emission::event(id, "", "one"));
    client.next_event(DEADLINE).await;

    origin.cut(Cut::Fin);

    let requests = origin.wait_requests(2).await;
    (requests[1].target.clone(), requests[1].last_event_id().map(str::to_owned))
}

#[tokio::test]
async fn the_last_id_is_sent_in_the_configured_header_or_parameter() {
    let query = "resume = { query = \"since\" }";
    assert_eq!(asked_after("", "7").await, ("/prices?page=1".to_owned(), Some("7".to_owned())));
    assert_eq!(asked_after(query, "7").await, ("/prices?page=1&since=7".to_owned(), None));
    assert_eq!(asked_after(query, "a b&c\u{e9}").await, ("/prices?page=1&since=a%20b%26c%C3%A9".to_owned(), None));
}

#[tokio::test]
async fn an_id_that_a_header_cannot_carry_is_not_sent() {
    assert_eq!(asked_after("", "7\u{1}").await, ("/prices?page=1".to_owned(), None));
    let query = "resume = { query = \"since\" }";
    assert_eq!(asked_after(query, "7\u{1}").await, ("/prices?page=1&since=7%01".to_owned(), None));
}

#[tokio::test]
async fn an_id_over_16_kib_is_not_sent() {
    let (longest, longer) = ("x".repeat(16 * 1024), "x".repeat(16 * 1024 + 1));
    let query = "resume = { query = \"since\" }";
    assert_eq!(asked_after("", &longest).await, ("/prices?page=1".to_owned(), Some(longest.clone())));
    assert_eq!(asked_after("", &longer).await, ("/prices?page=1".to_owned(), None));
    assert_eq!(asked_after(query, &longest).await, (format!("/prices?page=1&since={longest}"), None));
    assert_eq!(asked_after(query, &longer).await, ("/prices?page=1".to_owned(), None));
}

#[tokio::test]
async fn a_virtual_host_gets_its_host_header_and_may_redirect_to_itself() {
    let origin = Origin::start_with(|request| match request.target.as_str() {
        "/prices" => Answer::status(301).header("location", "http://api.internal/prices/"),
        _ => Answer::stream(),
    })
    .await;
    let headers = "headers = { Host = \"api.internal\", accept = \"application/x-events\" }";
    let gateway = Setup::for_origin(&origin.url()).upstream(headers).start().await;

    let client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    assert_eq!(client.status, 200);
    for (request, target) in origin.wait_requests(2).await.iter().zip(["/prices", "/prices/"]) {
        assert_eq!((request.target.as_str(), request.header("host")), (target, Some("api.internal")));
        let accept: Vec<_> = request.headers.iter().filter(|(name, _)| name == "accept").collect();
        assert_eq!(accept.len(), 1);
        assert_eq!(accept[0].1, "application/x-events");
    }
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_logged_without_credentials() {
    let to = "https://user:pa55@login.example.com/realm/auth?token=pa55#pa55";
    let origin = Origin::start_with(move |_| Answer::status(302).header("location", to)).await;
    let gateway = Setup::for_origin(&origin.url()).start().await;

    let client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;

    assert_eq!(client.status, 502);
    gateway.wait_line("the upstream redirects elsewhere, to https://login.example.com/realm/auth", DEADLINE).await;
    assert!(!gateway.log().iter().any(|line| line.contains("pa55")), "{:?}", gateway.log());
}
