//! The metrics of authorization exist, with their labels, on a gateway that has served clients.

use serde_json::json;

use super::fixture::{AuthFixture, Metrics, PROTOCOLS, bearer, route, token_by, wait_metric};
use super::keys::{config, jwks};
use super::support::keys;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::wait::DEADLINE;

const PROMISED: &str = "build_info{version} connections{listener,protocol} connections_total
    tls_handshakes_total{result} subscribers{route,protocol} subscriptions_total{route,verdict}
    subscriptions_ended_total{route,reason} requests_total{route,status} rejections_total{route,reason}
    auth_failures_total{route,reason} streams{route,state} upstream_connects_total{route,result}
    upstream_events_total{route} upstream_bytes_total{route} events_delivered_total{route} bytes_sent_total{route}
    delivery_seconds{route} lag_events{route} event_log_events{route} event_log_bytes{route}
    gaps_total{route,reason} config_reloads_total{result} certificate_expiry_timestamp_seconds{name}
    jwks_refreshes_total{issuer,result}";

#[tokio::test]
async fn every_auth_metric_is_exported_with_its_labels() {
    let fixture = AuthFixture::new().await;
    let id = Origin::start_with(|_| jwks(&[("one", &keys().ec)])).await;
    let gateway = Rillgate::start(&config(&fixture, &id, "5m", &route("prices", "/prices/{x}", ""))).await;
    wait_metric(&gateway, "rillgate_jwks_refreshes_total", &[("result", "ok")], 1.0).await;
    let good = bearer(&token_by("one", &keys().ec, &json!({})));
    for protocol in PROTOCOLS {
        let client = fixture.client(protocol, &gateway);
        assert_eq!(client.subscribe("/prices/x", &[]).await.status, 401);
        let headers = [("authorization", good.as_str()), ("last-event-id", "never seen")];
        let mut reader = client.subscribe("/prices/x", &headers).await;
        fixture.origin.wait_open(1).await;
        fixture.origin.emit(Emission::event("1", "", "x"));
        reader.next_event(DEADLINE).await;
    }
    gateway.signal("HUP");
    wait_metric(&gateway, "rillgate_config_reloads_total", &[("result", "ok")], 1.0).await;
    wait_metric(&gateway, "rillgate_event_log_events", &[("route", "prices")], 2.0).await;
    wait_metric(&gateway, "rillgate_subscriptions_ended_total", &[("reason", "client")], 2.0).await;

    let Metrics(text) = Metrics::of(&gateway).await;

    let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(PROMISED.split_whitespace().count() > 20);
    for promised in PROMISED.split_whitespace() {
        let (name, labels) = promised.trim_end_matches('}').split_once('{').unwrap_or((promised, ""));
        let is_of = |line: &&&str| {
            let rest = line.strip_prefix("rillgate_").and_then(|line| line.strip_prefix(name));
            rest.is_some_and(|rest| ["{", " ", "_bucket{"].iter().any(|next| rest.starts_with(next)))
        };
        let has_labels = |line: &&str| labels.split(',').all(|label| line.contains(label));
        assert!(samples.iter().any(|line| is_of(&line) && has_labels(line)), "{promised}:\n{text}");
        let kind = format!("# TYPE rillgate_{name} ");
        assert!(text.contains(&kind) && text.contains(&kind.replace("TYPE", "HELP")), "{promised}");
    }
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
        assert!(samples.iter().any(|line| line.starts_with(&format!("process_{name} "))), "{name}");
    }
    // Each rejection and each gap is counted under exactly one reason.
    let counted = Metrics(text);
    assert_eq!(counted.sum("rillgate_rejections_total", &[("reason", "no_token")]), 2.0);
    assert_eq!(counted.sum("rillgate_gaps_total", &[("reason", "unknown")]), 2.0);
}
