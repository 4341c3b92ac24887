//! The client's address behind trusted proxies: from the one source that is configured, whatever else a client writes.

use crate::support::figures::metric;
use crate::support::origin::Origin;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

/// Returns the lines of a listener behind proxies in the loopback network.
fn behind_proxies(source: &str) -> String {
    format!("{source}\ntrusted_proxies = [\"127.0.0.0/8\"]")
}

#[tokio::test]
async fn the_configured_source_alone_names_the_client_and_no_field_is_passed_on() {
    let fields = [("forwarded", "for=203.0.113.9;proto=https"), ("x-forwarded-for", "198.51.100.7")];
    let sources = [
        ("client_address = \"peer\"", "127.0.0.1"),
        ("client_address = \"x-forwarded-for\"", "198.51.100.7"),
        ("client_address = \"forwarded\"", "203.0.113.9"),
        ("client_address = \"proxy-protocol\"", "192.0.2.3"),
        ("proxy_protocol = true", "192.0.2.3"),
    ];

    for (source, address) in sources {
        let origin = Origin::start().await;
        let gateway = Setup::for_origin(&origin.url()).listener(&behind_proxies(source)).start().await;
        for (mut client, path) in both_protocols(&gateway, None).into_iter().zip(["/h1", "/h2"]) {
            if address == "192.0.2.3" {
                client = client.proxy_header("PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\r\n");
            }
            let before = origin.requests().len();
            let subscription = client.subscribe(path, &fields).await;

            assert_eq!(subscription.status, 200, "{source}");
            let request = &origin.wait_requests(before + 1).await[before];
            assert_eq!((request.header("forwarded"), request.header("x-forwarded-for")), (None, None), "{source}");
            drop(subscription);
            let line = format!("subscription ended client={address} route=\"all\" path=\"{path}\"");
            gateway.wait_line(&line, DEADLINE).await;
        }
    }
}

#[tokio::test]
async fn a_field_that_the_client_wrote_changes_neither_its_limits_nor_its_log_lines() {
    // What proxies send of a client at 198.51.100.7 that pretends to be each of these.
    let victims = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    let [x_forwarded_for, forwarded] = [("x-forwarded-for", ""), ("forwarded", "for=")];

    for (written, passed_on) in [(x_forwarded_for, forwarded), (forwarded, x_forwarded_for)] {
        let origin = Origin::start().await;
        let gateway = Setup::for_origin(&origin.url())
            .listener(&behind_proxies(&format!("client_address = \"{}\"", written.0)))
            .limits("subscriptions_per_ip = 2")
            .start()
            .await;
        let element = |(_, prefix): (&str, &str), address: &str| format!("{prefix}{address}");
        for proxy in both_protocols(&gateway, None) {
            let (mut held, mut statuses) = (Vec::new(), Vec::new());
            // The client's open quote must not hide what the proxy appended.
            for (victim, quote) in victims.into_iter().zip(["", "", "\""]) {
                let pretended = element(passed_on, victim);
                let appended = format!("{}{quote}, {}", element(written, victim), element(written, "198.51.100.7"));
                let subscription =
                    proxy.subscribe("/prices", &[(passed_on.0, &pretended), (written.0, &appended)]).await;
                statuses.push(subscription.status.as_u16());
                held.push(subscription);
            }
            let mut honest = Vec::new();
            for victim in victims {
                let subscription = proxy.subscribe("/prices", &[(written.0, &element(written, victim))]).await;
                honest.push(subscription.status.as_u16());
                held.push(subscription);
            }

            assert_eq!((statuses, honest), (vec![200, 200, 429], vec![200, 200, 200]), "{}", written.0);
            let protocol = if proxy.is_http2() { "h2" } else { "h1" };
            let line = format!(
                "answered client=198.51.100.7 route=\"all\" path=\"/prices\" status=429 protocol=\"{protocol}\""
            );
            gateway.wait_line(&line, DEADLINE).await;
            drop(held);
            eventually(DEADLINE, || async { metric(&gateway, "subscribers", &[]).await == 0.0 }).await;
        }
    }
}
