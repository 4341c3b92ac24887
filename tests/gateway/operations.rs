//! The operator's view: access lines, addresses behind proxies, and reloads.

use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::origin::Origin;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn every_subscription_and_refusal_has_an_access_line() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;

    for (client, protocol) in both_protocols(&gateway, None).into_iter().zip(["h1", "h2"]) {
        let mut subscription = client.subscribe("/prices?limit=1", &[]).await;
        origin.emit("id: 1\ndata: x\n\n");
        subscription.expect_end(DEADLINE).await;
        client.try_request("POST", "/prices", &[]).await.unwrap();

        let line = gateway
            .wait_line(
                &format!("subscription ended client=127.0.0.1 route=\"all\" path=\"/prices\" status=200 protocol=\"{protocol}\""),
                DEADLINE,
            )
            .await;
        assert!(
            line.contains("events=1") && line.contains("reason=\"limit\"") && line.contains("verdict=live"),
            "{line}"
        );
        let line = gateway
            .wait_line(
                &format!("answered client=127.0.0.1 route=\"all\" path=\"/prices\" status=405 protocol=\"{protocol}\""),
                DEADLINE,
            )
            .await;
        assert!(line.contains("reason=\"method\""), "{line}");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_may_forward_a_client_address() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.2/32\"]")
        .start()
        .await;
    let proxy = Client::http1(gateway.address()).coming_from("127.0.0.2".parse().unwrap());
    let stranger = Client::http1(gateway.address()).coming_from("127.0.0.3".parse().unwrap());
    let fields = [("x-forwarded-for", "1.2.3.4, 198.51.100.7")];

    proxy.try_request("POST", "/prices", &fields).await.unwrap();
    stranger.try_request("POST", "/prices", &fields).await.unwrap();

    gateway.wait_line("answered client=198.51.100.7", DEADLINE).await;
    gateway.wait_line("answered client=127.0.0.3", DEADLINE).await;
}

#[tokio::test]
async fn forwarded_addresses_are_limited_separately() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .listener("client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.2/32\", \"10.0.0.0/8\"]")
        .limits("subscriptions_per_ip = 2")
        .start()
        .await;
    let of = |address: &'static str| [("x-forwarded-for", address)];

    for proxy in both_protocols(&gateway, None).map(|client| client.coming_from("127.0.0.2".parse().unwrap())) {
        let first = proxy.subscribe("/prices", &of("198.51.100.7")).await;
        let second = proxy.subscribe("/prices", &of("6.6.6.6, 198.51.100.7")).await;
        let mut refused = proxy
            .subscribe("/prices", &[("forwarded", "for=203.0.113.1"), ("x-forwarded-for", "198.51.100.7:99")])
            .await;
        let other = proxy.subscribe("/prices", &of("198.51.100.8")).await;
        // Requests for which a proxy names no client are not counted as one client.
        let unnamed = [proxy.subscribe("/prices", &[]).await, proxy.subscribe("/prices", &of("10.1.1.1")).await];
        let same_network = [
            proxy.subscribe("/prices", &of("2001:db8::1")).await,
            proxy.subscribe("/prices", &of("2001:db8::2")).await,
            proxy.subscribe("/prices", &of("2001:db8::3")).await,
        ];

        assert_eq!((first.status.as_u16(), second.status.as_u16(), other.status.as_u16()), (200, 200, 200));
        assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (429, false));
        assert!(refused.text().await.contains("\"reason\":\"subscriptions_per_ip\""));
        assert!(unnamed.iter().all(|subscription| subscription.status == 200));
        assert_eq!(same_network.iter().map(|one| one.status.as_u16()).collect::<Vec<_>>(), [200, 200, 429]);
        drop((first, other, unnamed, same_network));
        eventually(DEADLINE, || async { proxy.subscribe("/prices", &of("198.51.100.7")).await.status == 200 }).await;
        drop(second);
        eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
    }
    assert!(metric(&gateway, "rejections_total", &["reason=\"subscriptions_per_ip\""]).await >= 4.0);
    // Headers of an untrusted client are ignored: its subscriptions count as its own.
    let stranger = Client::http1(gateway.address()).coming_from("127.0.0.3".parse().unwrap());
    let kept =
        [stranger.subscribe("/prices", &of("1.1.1.1")).await, stranger.subscribe("/prices", &of("1.1.1.2")).await];
    assert_eq!(stranger.subscribe("/prices", &of("1.1.1.3")).await.status, 429);
    drop(kept);
}

#[tokio::test]
async fn a_lagging_client_of_a_latest_route_gets_the_newest_event_of_each_type() {
    let origin = Origin::start().await;
    let route = Setup::for_origin(&origin.url())
        .limits("send_buffer = \"4KiB\"")
        .replay("start = \"oldest\"")
        .delivery("latest = true");
    let gateway = route.start().await;
    let client = Client::http1(gateway.address());
    let mut live = client.subscribe("/prices", &[]).await;
    let padding = "x".repeat(1000);
    for number in 1..=20 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        origin.emit(format!("id: {number}\nevent: {kind}\ndata: {number} {padding}\n\n"));
    }
    let mut newest = String::new();
    while newest != "20" {
        newest = live.next_event(DEADLINE).await.last_event_id;
    }

    let mut late = client.subscribe("/prices", &[]).await;

    let events = late.next_events(2).await;
    let seen: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.last_event_id.as_str())).collect();
    assert_eq!(seen, [("odd", "19"), ("even", "20")]);
}

#[tokio::test]
async fn a_reload_opens_and_releases_always_open_streams() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let always = setup.clone().after(
        "[[routes]]\nname = \"always\"\npath = \"/fixed/path\"\nupstream = \"origin\"\nauth = \"public\"\nopen = \"always\"\ndelivery = { linger = \"0s\" }\n",
    );
    let gateway = setup.start().await;
    assert_eq!(origin.connections().open, 0);

    gateway.rewrite(&always.toml());
    gateway.signal("HUP");
    origin.wait_open(1).await;
    gateway.rewrite(&setup.toml());
    gateway.signal("HUP");

    eventually(DEADLINE, || async { origin.connections().open == 0 }).await;
}
