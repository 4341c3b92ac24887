//! The shares of one client address: subscriptions, streams that only it reads, and new streams per second.

use std::net::IpAddr;

use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

fn elsewhere(client: Client) -> Client {
    client.coming_from(IpAddr::from(ELSEWHERE))
}

async fn refusals(gateway: &Rillgate, room: &str) -> f64 {
    metric(gateway, "shares_refused_total", &[&format!("room=\"{room}\"")]).await
}

#[tokio::test]
async fn an_address_over_its_subscriptions_gets_429_over_any_number_of_connections() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("subscriptions_per_ip = 3").start().await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        connections.push(Client::http2(gateway.address()).connect().await.expect("a connection"));
    }
    let mut open = Vec::new();
    for index in [0, 0, 1] {
        open.push(connections[index].subscribe("/prices", &[]).await);
    }
    assert!(open.iter().all(|subscription| subscription.status == 200));

    let mut refused = connections[1].subscribe("/prices", &[]).await;

    assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (429, false));
    assert!(refused.text().await.contains("\"reason\":\"subscriptions_per_ip\""));
    assert_eq!(refusals(&gateway, "subscriptions").await, 1.0);
    let other = elsewhere(Client::http2(gateway.address()));
    assert_eq!(other.subscribe("/prices", &[]).await.status, 200);
    open.pop();
    let freed = Client::http1(gateway.address());
    eventually(DEADLINE, || async { freed.subscribe("/prices", &[]).await.status == 200 }).await;
}

#[tokio::test]
async fn an_address_opens_its_share_of_streams_and_shared_streams_do_not_count() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).limits("streams_per_ip = 2").start().await;
    let client = Client::http1(gateway.address());
    let _own = [client.subscribe("/a", &[]).await, client.subscribe("/b", &[]).await];

    let mut refused = client.subscribe("/c", &[]).await;

    assert_eq!(refused.status, 429);
    assert!(refused.text().await.contains("\"reason\":\"streams_per_ip\""));
    assert_eq!(refusals(&gateway, "streams").await, 1.0);
    assert_eq!(client.subscribe("/a", &[]).await.status, 200, "an open stream can be joined");
    let other = elsewhere(client.clone());
    let _shared = other.subscribe("/b", &[]).await;
    assert_eq!(client.subscribe("/c", &[]).await.status, 200, "a stream that others read does not count");
    assert_eq!(other.subscribe("/d", &[]).await.status, 200, "each address has a share");
}

/// Returns a gateway at which one address has opened ten seconds' worth of streams, at one a second.
async fn at_the_rate(origin: &Origin, answer_within: &str) -> (Rillgate, Client, Vec<Subscription>) {
    let setup = Setup::for_origin(&origin.url()).limits("stream_opens_per_second = { ip = 1, route = 1000 }");
    let gateway = setup.delivery(&format!("answer_within = \"{answer_within}\"")).start().await;
    let client = Client::http1(gateway.address());
    let mut open = Vec::new();
    for number in 0..10 {
        open.push(client.subscribe(&format!("/{number}"), &[]).await);
    }
    assert!(open.iter().all(|subscription| subscription.status == 200), "ten seconds' worth at once");
    (gateway, client, open)
}

#[tokio::test]
async fn new_streams_over_the_rate_of_an_address_get_429() {
    let origin = Origin::start().await;
    let (gateway, client, _open) = at_the_rate(&origin, "100ms").await;

    let mut refused = client.subscribe("/next", &[]).await;

    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    assert!(refused.text().await.contains("\"reason\":\"stream_opens\""));
    assert_eq!(refusals(&gateway, "stream_opens").await, 1.0);
    assert_eq!(client.subscribe("/0", &[]).await.status, 200, "an open stream can be joined");
    assert_eq!(elsewhere(client).subscribe("/other", &[]).await.status, 200, "others are not affected");
}

#[tokio::test]
async fn a_new_stream_over_the_rate_waits_as_long_as_its_head_may() {
    let origin = Origin::start().await;
    let (_gateway, client, _open) = at_the_rate(&origin, "5s").await;

    assert_eq!(client.subscribe("/next", &[]).await.status, 200);
}

#[tokio::test]
async fn new_streams_over_the_rate_of_a_route_get_503() {
    let origin = Origin::start().await;
    let limits = "stream_opens_per_second = { ip = 1000, route = 1 }";
    let gateway = Setup::for_origin(&origin.url()).limits(limits).delivery("answer_within = \"100ms\"").start().await;
    let client = Client::http1(gateway.address());
    let mut open = Vec::new();
    for number in 0..10 {
        open.push(client.subscribe(&format!("/{number}"), &[]).await);
    }

    let mut refused = elsewhere(client.clone()).subscribe("/next", &[]).await;

    assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (503, false));
    assert!(refused.text().await.contains("\"reason\":\"stream_opens\""));
    assert_eq!(client.subscribe("/0", &[]).await.status, 200, "an open stream can be joined");
}
