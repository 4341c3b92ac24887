//! The values that a real Prometheus reports, compared with what the clients and the producer counted.

use std::cell::Cell;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::certificates::Authority;
use crate::support::client::{Client, Connection};
use crate::support::figures::admin;
use crate::support::origin::{Emission, Origin};
use crate::support::prometheus::{Prometheus, promtool};
use crate::support::setup::Setup;
use crate::support::subscription::Subscription;
use crate::support::wait::{DEADLINE, eventually, within};

/// A deadline for thousands of clients on a busy machine.
const LONG: Duration = Duration::from_secs(90);

const EVENTS: usize = 20;
const LIMIT: usize = 8;

/// A client and the number of events that it received.
struct Seen {
    subscription: Subscription,
    events: usize,
}

#[test]
fn promtool_accepts_the_configuration_the_rules_and_their_tests() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "recording.yml", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts.test.yml"], "");
}

#[test]
fn each_alert_is_shown_firing_and_quiet() {
    let folder = crate::support::prometheus::deployed();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (rules, tests) = (read("alerts.yml"), read("alerts.test.yml"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");

    // A test with several series that fires for one of them also shows the alert quiet for the others.
    for alert in alerts {
        let firing = format!("- alertname: {alert}\n");
        let quiet = format!("{{ alertname: {alert}, ");
        assert!(tests.contains(&firing), "no test in alerts.test.yml shows {alert} firing");
        let expects_nothing = tests.lines().any(|line| line.contains(&quiet) && line.contains("exp_alerts: []"));
        assert!(expects_nothing, "no test in alerts.test.yml shows {alert} quiet");
    }
}

/// Compares the gateway's metrics, as scraped by Prometheus, with counts by the senders and receivers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_counts_what_two_thousand_clients_and_their_producer_count() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .tls(&authority.server())
        .limits("connections_per_ip = 5000")
        .delivery("heartbeat = \"10m\"")
        .start()
        .await;
    let prometheus = Prometheus::scraping(gateway.admin()).await;
    let http1 = Client::http1(gateway.address()).tls(&authority);
    let http2 = Client::http2(gateway.address()).tls(&authority);

    // 1,000 clients of each protocol, a tenth of which with a limit. HTTP/2 connections carry ten each.
    let (all, some) = ("/prices".to_owned(), format!("/prices?limit={LIMIT}"));
    let kinds = [(&http1, 900, 1, &all), (&http1, 100, 1, &some), (&http2, 90, 10, &all), (&http2, 10, 10, &some)];
    let mut clients = Vec::new();
    for (client, connections, streams, path) in kinds {
        clients.extend(open(client, connections, streams, path).await);
    }
    assert_eq!(clients.len(), 2_000);
    exactly(&prometheus, "sum(rillgate_subscribers)", 2_000).await;
    exactly(&prometheus, "rillgate_subscribers{protocol=\"h1\"}", 1_000).await;
    exactly(&prometheus, "rillgate_connections{protocol=\"h1\"}", 1_000).await;
    exactly(&prometheus, "rillgate_connections{protocol=\"h2\"}", 100).await;
    exactly(&prometheus, "rillgate_tls_handshakes_total{result=\"ok\"}", 1_100).await;
    exactly(&prometheus, "rillgate_connections_total", 1_100).await;

    let mut produced = 0;
    for number in 1..=EVENTS {
        let event = format!("id: {number}\nevent: price\ndata: {}\n\n", "x".repeat(number * 10));
        produced += event.len();
        origin.emit(Emission::from(event));
    }
    let mut reading = JoinSet::new();
    for (mut client, wanted) in clients {
        reading.spawn(async move {
            for _ in 0..wanted {
                client.next_event(LONG).await;
            }
            if wanted == LIMIT {
                assert!(client.expect_end(LONG).await.is_empty());
            }
            Seen { subscription: client, events: wanted }
        });
    }
    let mut seen = within(LONG, "every event for every client", reading.join_all()).await;

    // Ten more clients resume with an id, and others are refused.
    for _ in 0..10 {
        let mut client = http2.subscribe("/prices?follow=false", &[("last-event-id", "15")]).await;
        let events = client.expect_end(DEADLINE).await.len();
        assert_eq!(events, EVENTS - 15);
        seen.push(Seen { subscription: client, events });
    }
    for _ in 0..7 {
        assert_eq!(http1.try_request("POST", "/prices", &[]).await.unwrap().status, 405);
        assert_eq!(http2.subscribe("/no/such/route", &[]).await.status, 404);
    }

    let delivered: usize = seen.iter().map(|client| client.events).sum();
    let bytes: usize = seen.iter().map(|client| client.subscription.total_bytes()).sum();
    assert_eq!(delivered, 1_800 * EVENTS + 200 * LIMIT + 50);
    exactly(&prometheus, "rillgate_upstream_events_total", EVENTS).await;
    exactly(&prometheus, "rillgate_upstream_bytes_total", produced).await;
    exactly(&prometheus, "rillgate_upstream_connects_total{result=\"ok\"}", origin.connections().total).await;
    exactly(&prometheus, "rillgate_events_delivered_total", delivered).await;
    exactly(&prometheus, "rillgate_bytes_sent_total", bytes).await;
    exactly(&prometheus, "rillgate_event_log_events", EVENTS).await;
    exactly(&prometheus, "rillgate_streams{state=\"live\"}", 1).await;
    exactly(&prometheus, "rillgate_subscriptions_total{verdict=\"live\"}", 2_000).await;
    exactly(&prometheus, "rillgate_subscriptions_total{verdict=\"resumed\"}", 10).await;
    exactly(&prometheus, "rillgate_subscriptions_ended_total{reason=\"limit\"}", 200).await;
    exactly(&prometheus, "rillgate_subscriptions_ended_total{reason=\"complete\"}", 10).await;
    exactly(&prometheus, "rillgate_requests_total{route=\"all\",status=\"200\"}", 2_010).await;
    exactly(&prometheus, "rillgate_rejections_total{route=\"all\",reason=\"method\"}", 7).await;
    exactly(&prometheus, "rillgate_rejections_total{route=\"-\",reason=\"no_route\"}", 7).await;
    exactly(&prometheus, "sum(rillgate_gaps_total)", 0).await;

    // Half of the remaining clients disconnect. An HTTP/2 connection closes with its last client.
    let (stay, leave): (Vec<_>, Vec<_>) =
        seen.into_iter().filter(|client| client.events == EVENTS).enumerate().partition(|(number, _)| number % 2 == 0);
    assert_eq!((stay.len(), leave.len()), (900, 900));
    drop(leave);
    exactly(&prometheus, "sum(rillgate_subscribers)", 900).await;
    exactly(&prometheus, "rillgate_subscriptions_ended_total{reason=\"client\"}", 900).await;
    exactly(&prometheus, "sum(rillgate_subscriptions_total) - sum(rillgate_subscriptions_ended_total)", 900).await;

    let (status, metrics) = admin(&gateway, "/metrics").await;
    assert_eq!(status, 200);
    let found = promtool(&["check", "metrics"], &metrics);
    assert!(found.trim().is_empty(), "{found}");
}

/// Waits until a scrape has this value.
async fn exactly(prometheus: &Prometheus, expression: &str, expected: usize) {
    let last = Cell::new(f64::NAN);
    let arrived = eventually(LONG * 2, || async {
        last.set(prometheus.sum(expression).await);
        last.get() == expected as f64
    });
    let is_there = tokio::time::timeout(LONG, arrived).await.is_ok();
    assert!(is_there, "{expression} is {} and not {expected}", last.get());
}

/// Opens this many connections, 50 at a time, with this many streams each. Each client has its number of events.
async fn open(client: &Client, connections: usize, streams: usize, path: &str) -> Vec<(Subscription, usize)> {
    let wanted = if path.contains("limit") { LIMIT } else { EVENTS };
    let mut clients = Vec::new();
    let mut opening = JoinSet::new();
    for _ in 0..connections {
        if opening.len() == 50 {
            clients.extend(opening.join_next().await.unwrap().unwrap());
        }
        let (client, path) = (client.clone(), path.to_owned());
        opening.spawn(async move {
            let mut connection = within(LONG, "connection", client.connect()).await.unwrap();
            let mut subscriptions = Vec::new();
            for _ in 0..streams {
                subscriptions.push((request(&mut connection, &path).await, wanted));
            }
            subscriptions
        });
    }
    clients.extend(opening.join_all().await.into_iter().flatten());
    clients
}

async fn request(connection: &mut Connection, target: &str) -> Subscription {
    let subscription = within(LONG, "response", connection.try_request("GET", target, &[])).await.unwrap();
    assert_eq!(subscription.status, 200);
    subscription
}
