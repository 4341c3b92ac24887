use std::time::Duration;

use super::*;
use crate::telemetry::{EndReason, Protocol, VerdictLabel};

fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
}

#[test]
fn a_subscription_is_counted_up_and_down() {
    let metrics = Metrics::new("1.2.3");
    let route = metrics.route("prices");

    route.subscribed(Protocol::Http1);
    route.settled(VerdictLabel::Live);
    route.subscribed(Protocol::Http2);
    route.settled(VerdictLabel::Gap);
    route.gap("evicted");
    route.ended(Protocol::Http1, EndReason::MaxAge);
    let text = metrics.render();

    assert_line(&text, r#"rillgate_build_info{version="1.2.3"} 1"#);
    assert_line(&text, r#"rillgate_subscribers{route="prices",protocol="h1"} 0"#);
    assert_line(&text, r#"rillgate_subscribers{route="prices",protocol="h2"} 1"#);
    assert_line(&text, r#"rillgate_subscriptions_total{route="prices",verdict="live"} 1"#);
    assert_line(&text, r#"rillgate_subscriptions_total{route="prices",verdict="replay"} 0"#);
    assert_line(&text, r#"rillgate_subscriptions_ended_total{route="prices",reason="max_age"} 1"#);
    assert_line(&text, r#"rillgate_gaps_total{route="prices",reason="evicted"} 1"#);
    assert_line(&text, r#"rillgate_gaps_total{route="prices",reason="lagged"} 0"#);
}

#[test]
fn traffic_and_streams_add_up() {
    let metrics = Metrics::new("1");
    let route = metrics.route("prices");

    route.upstream_received(2, 100);
    route.delivered(6, 300);
    route.sent(15);
    route.event_logs(1, 60);
    route.streams([1, 1, 0, 0, 0, 0]);
    route.rejected("full");
    let text = metrics.render();

    assert_line(&text, r#"rillgate_upstream_events_total{route="prices"} 2"#);
    assert_line(&text, r#"rillgate_upstream_bytes_total{route="prices"} 100"#);
    assert_line(&text, r#"rillgate_events_delivered_total{route="prices"} 6"#);
    assert_line(&text, r#"rillgate_bytes_sent_total{route="prices"} 315"#);
    assert_line(&text, r#"rillgate_event_log_events{route="prices"} 1"#);
    assert_line(&text, r#"rillgate_event_log_bytes{route="prices"} 60"#);
    assert_line(&text, r#"rillgate_streams{route="prices",state="opening"} 1"#);
    assert_line(&text, r#"rillgate_streams{route="prices",state="live"} 1"#);
    let expected = RouteTotals {
        route: "prices".into(),
        subscribers: 0,
        streams: 2,
        streams_waiting: 1,
        upstream_events: 2,
        events_delivered: 6,
        bytes_sent: 315,
        gaps: 0,
        rejections: 1,
    };
    assert_eq!(metrics.totals()[1..], [expected], "behind what no route counts");
}

#[test]
fn histograms_have_the_documented_buckets() {
    let metrics = Metrics::new("1");
    let route = metrics.route("prices");

    route.delivery(Duration::from_millis(3));
    route.lag(0);
    route.lag(7);
    metrics.upkeep();
    let text = metrics.render();

    assert_line(&text, r#"rillgate_delivery_seconds_bucket{route="prices",le="0.0025"} 0"#);
    assert_line(&text, r#"rillgate_delivery_seconds_bucket{route="prices",le="0.005"} 1"#);
    assert_line(&text, r#"rillgate_delivery_seconds_count{route="prices"} 1"#);
    assert_line(&text, r#"rillgate_lag_events_bucket{route="prices",le="5"} 1"#);
    assert_line(&text, r#"rillgate_lag_events_bucket{route="prices",le="10000"} 2"#);
    assert_line(&text, r#"rillgate_lag_events_sum{route="prices"} 7"#);
    assert!(!text.contains("quantile"), "a summary instead of a histogram:\n{text}");
}

#[test]
fn unmatched_requests_are_counted_without_stream_metrics() {
    let metrics = Metrics::new("1");

    metrics.route(RouteMetrics::NONE).request(404);
    metrics.route(RouteMetrics::NONE).request(404);
    metrics.route(RouteMetrics::NONE).request(9999);
    metrics.route(RouteMetrics::NONE).rejected("no_route");
    metrics.route(RouteMetrics::NONE).auth_failure("missing");
    let text = metrics.render();

    assert_line(&text, r#"rillgate_requests_total{route="-",status="404"} 2"#);
    assert_line(&text, r#"rillgate_requests_total{route="-",status="0"} 1"#);
    assert_line(&text, r#"rillgate_rejections_total{route="-",reason="no_route"} 1"#);
    assert_line(&text, r#"rillgate_auth_failures_total{route="-",reason="missing"} 1"#);
    assert!(!text.contains("rillgate_subscribers"), "{text}");
}

#[test]
fn listeners_share_the_total_of_connections() {
    let metrics = Metrics::new("1");
    let (public, local) = (metrics.listener("public"), metrics.listener("local"));

    public.accepted();
    public.handshake("ok");
    public.opened(Protocol::Http2);
    local.accepted();
    local.opened(Protocol::Http1);
    local.closed(Protocol::Http1);
    public.refused("connections");
    local.refused_with(431, "headers");
    public.waits("accepts_per_second");
    let text = metrics.render();

    assert_line(&text, "rillgate_connections_total 2");
    assert_line(&text, r#"rillgate_tls_handshakes_total{result="ok"} 1"#);
    assert_line(&text, r#"rillgate_rejections_total{route="-",reason="connections"} 1"#);
    assert_line(&text, r#"rillgate_rejections_total{route="-",reason="headers"} 1"#);
    assert_line(&text, r#"rillgate_requests_total{route="-",status="431"} 1"#);
    assert_line(&text, r#"rillgate_rate_waits_total{limit="accepts_per_second"} 1"#);
    assert_line(&text, r#"rillgate_rate_waits_total{limit="handshakes_per_second"} 0"#);
    assert_line(&text, r#"rillgate_connections{listener="public",protocol="h2"} 1"#);
    assert_line(&text, r#"rillgate_connections{listener="local",protocol="h1"} 0"#);
}

#[test]
fn a_refused_reload_keeps_the_time_of_the_last_successful_one() {
    let metrics = Metrics::new("1");
    metrics.config_reload("ok");
    let taken = metrics.render();

    metrics.config_reload("invalid");
    let refused = metrics.render();

    let stamp = |text: &str| {
        let name = "rillgate_config_last_reload_success_timestamp_seconds ";
        text.lines().find(|line| line.starts_with(name)).unwrap().to_owned()
    };
    assert_line(&taken, "rillgate_config_last_reload_successful 1");
    assert_line(&refused, "rillgate_config_last_reload_successful 0");
    assert_line(&refused, r#"rillgate_config_reloads_total{result="invalid"} 1"#);
    assert_eq!(stamp(&taken), stamp(&refused));
}

#[test]
fn a_gateway_starts_with_a_valid_configuration_and_zero_reloads() {
    let metrics = Metrics::new("1");

    metrics.config_loaded();
    let text = metrics.render();

    assert_line(&text, "rillgate_config_last_reload_successful 1");
    assert_line(&text, r#"rillgate_config_reloads_total{result="ok"} 0"#);
    assert_line(&text, r#"rillgate_config_reloads_total{result="refused"} 0"#);
}

#[test]
fn several_gateways_in_one_process_do_not_mix() {
    let (first, second) = (Metrics::new("1"), Metrics::new("2"));

    first.route("prices").rejected("full");
    second.task_panicked("ingest");

    assert!(!second.render().contains("reason=\"full\""));
    assert!(second.render().contains("rillgate_task_panics_total{task=\"ingest\"} 1"));
    assert!(!first.render().contains("rillgate_task_panics_total{task=\"ingest\"} 1"));
}

#[test]
fn every_rendered_metric_is_described_and_appears_once() {
    let metrics = Metrics::new("1");
    let route = metrics.route("prices");
    route.request(200);
    route.rejected("full");
    route.auth_failure("expired");
    route.delivery(Duration::ZERO);
    route.lag(1);
    route.forward().answered(200);
    route.forward().begun();
    route.forward().ended(Duration::ZERO);
    metrics.listener("public");
    metrics.store().error("full");
    metrics.store().given_up("stream");
    let cluster = metrics.cluster();
    cluster.streams("prices", [0; 3]);
    cluster.committed("prices", Duration::ZERO);
    cluster.followed("prices", Duration::ZERO);
    cluster.resynced("join");
    cluster.error("full");
    metrics.config_reload("ok");
    metrics.limit("connections", 5.0);
    metrics.revocations("posted", 1);
    metrics.certificate_expiry("public", 1.0);
    metrics.jwks_refresh("main", "ok");
    metrics.task_panicked("ingest");
    metrics.tasks_aborted("connection", 3);
    metrics.memory("logs", 1);
    metrics.worker_delay(Duration::ZERO);
    metrics.log_lines_dropped(1);

    let text = metrics.render();

    let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let named: Vec<&str> = types.iter().filter_map(|line| line.split(' ').next()).collect();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(named, sorted, "metrics are sorted and none stands twice");
    for description in catalogue::ALL {
        assert!(named.contains(&description.name), "{} is in the catalogue but never recorded", description.name);
    }
    for name in named {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
}
