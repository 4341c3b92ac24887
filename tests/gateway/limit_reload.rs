//! A limit that a reload changes applies to new connections and subscriptions, and not to existing ones.

use std::net::IpAddr;

use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::frames::{ACK, Frames, MAX_CONCURRENT_STREAMS, SETTINGS};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually};

/// A gateway with two readers of two streams, whose limits were lowered by a reload after the readers had subscribed.
struct LoweredLimitsFixture {
    origin: Origin,
    gateway: Rillgate,
    readers: Vec<Subscription>,
}

impl LoweredLimitsFixture {
    async fn new(limits: &str) -> Self {
        let origin = Origin::start().await;
        let setup = Setup::for_origin(&origin.url());
        let gateway = setup.start().await;
        let mut readers = Vec::new();
        for path in ["/one", "/two"] {
            readers.push(Client::http1(gateway.address()).subscribe(path, &[]).await);
        }
        gateway.rewrite(&setup.limits(limits).toml());
        gateway.signal("HUP");
        gateway.wait_line("configuration reloaded", DEADLINE).await;
        Self { origin, gateway, readers }
    }

    fn client(&self) -> Client {
        Client::http1(self.gateway.address())
    }

    /// Asserts that earlier readers still get events.
    async fn assert_readers_unharmed(&mut self) {
        self.origin.emit(Emission::event("1", "", "still here"));
        for reader in &mut self.readers {
            assert_eq!(reader.next_event(DEADLINE).await.data, "still here");
        }
    }
}

#[tokio::test]
async fn lowered_subscribers_and_streams_apply_after_a_reload() {
    for (limits, path, reason) in [("subscribers = 2", "/one", "subscribers"), ("streams = 2", "/three", "streams")] {
        let mut fixture = LoweredLimitsFixture::new(limits).await;

        let mut refused = fixture.client().subscribe(path, &[]).await;

        assert_eq!(refused.status, 503, "{limits}");
        assert!(refused.text().await.contains(&format!("\"reason\":\"{reason}\"")));
        fixture.assert_readers_unharmed().await;
    }
}

#[tokio::test]
async fn lowered_connection_limits_apply_after_a_reload() {
    let mut fixture = LoweredLimitsFixture::new("connections_per_ip = 2").await;
    assert_eq!(fixture.client().subscribe("/one", &[]).await.status, 429);
    let other: IpAddr = "127.0.0.9".parse().unwrap();
    assert_eq!(fixture.client().coming_from(other).subscribe("/one", &[]).await.status, 200);
    fixture.assert_readers_unharmed().await;

    let mut fixture = LoweredLimitsFixture::new("connections = 2").await;
    let refused = Raw::exchange(&fixture.client(), b"GET /one HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(refused, "");
    fixture.assert_readers_unharmed().await;
}

#[tokio::test]
async fn lowered_header_limits_apply_to_new_connections() {
    let padding = "x".repeat(10 * 1024);
    let many: String = (0..20).map(|number| format!("x-{number}: y\r\n")).collect();
    for (limits, fields) in [("header_bytes = \"8KiB\"", format!("x: {padding}\r\n")), ("headers = 8", many)] {
        let mut fixture = LoweredLimitsFixture::new(limits).await;
        let request = format!("HEAD /one HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n");

        let refused = Raw::exchange(&fixture.client(), request.as_bytes()).await;

        assert_eq!(status(&refused), 431, "{limits}: {refused}");
        fixture.assert_readers_unharmed().await;
    }
}

#[tokio::test]
async fn lowered_timeouts_apply_to_new_connections() {
    for (limits, sent) in [
        ("idle_timeout = \"200ms\"", "HEAD /one HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        ("header_timeout = \"200ms\"", "HEAD /one HTTP/1.1\r\nhost:"),
    ] {
        let mut fixture = LoweredLimitsFixture::new(limits).await;
        let mut raw = Raw::dial(&fixture.client()).await;

        raw.send(sent.as_bytes()).await;

        // The defaults are one minute and ten seconds.
        assert!(raw.is_closed_within(std::time::Duration::from_secs(8)).await, "{limits}");
        fixture.assert_readers_unharmed().await;
    }
}

#[tokio::test]
async fn a_lowered_stall_timeout_applies_to_new_subscriptions() {
    let mut fixture = LoweredLimitsFixture::new("stall_timeout = \"300ms\"").await;
    let _stalled = Client::http2(fixture.gateway.address()).window(1).subscribe("/one", &[]).await;

    for number in 0..100 {
        fixture.origin.emit(Emission::event(&number.to_string(), "", &"x".repeat(1000)));
    }
    for reader in &mut fixture.readers {
        reader.next_events(100).await;
    }

    let labels = ["reason=\"stalled\""];
    eventually(DEADLINE, || async { metric(&fixture.gateway, "subscriptions_ended_total", &labels).await == 1.0 })
        .await;
    fixture.assert_readers_unharmed().await;
}

#[tokio::test]
async fn lowered_h2_streams_apply_to_new_connections() {
    let fixture = LoweredLimitsFixture::new("h2_streams = 2").await;

    let mut frames = Frames::connect(&Client::http2(fixture.gateway.address()), &[]).await;
    let advertised = frames.find(|frame| frame.kind == SETTINGS && frame.flags != ACK).await.expect("SETTINGS");

    let two = [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &[0, 0, 0, 2]].concat();
    assert!(advertised.payload.chunks(6).any(|value| value == two), "{:?}", advertised.payload);
}
