//! The names and help texts of all metrics, and the buckets of the histograms.
//!
//! [`ALL`] lists every metric that the crate records. Units are base units and part of the name; a counter's name ends
//! in `_total`. The `process_*` metrics are rendered separately, by the process module.

pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) help: &'static str,
}

macro_rules! catalogue {
    ($($constant:ident = $kind:ident $name:literal: $help:literal;)*) => {
        $(pub(super) const $constant: &str = $name;)*

        /// All metrics of the catalogue.
        pub(super) const ALL: &[Description] =
            &[$(Description { name: $name, kind: MetricKind::$kind, help: $help }),*];
    };
}

catalogue! {
    BUILD_INFO = Gauge "rillgate_build_info":
        "Always 1. The label version is the running version.";
    LIMIT = Gauge "rillgate_limit":
        "Configured limits: numbers of connections, subscribers, streams and revocations; memory_bytes in bytes.";
    CONNECTIONS = Gauge "rillgate_connections":
        "Number of open client connections that have completed their handshake.";
    CONNECTIONS_TOTAL = Counter "rillgate_connections_total":
        "Connections accepted, counted before the handshake.";
    TLS_HANDSHAKES = Counter "rillgate_tls_handshakes_total":
        "TLS handshakes, by result: ok, refused or timeout.";
    RATE_WAITS = Counter "rillgate_rate_waits_total":
        "Connections and handshakes that were delayed, by the limit that delayed them.";
    SUBSCRIBERS = Gauge "rillgate_subscribers":
        "Number of client responses that read a stream.";
    SUBSCRIPTIONS = Counter "rillgate_subscriptions_total":
        "Subscriptions started, by verdict.";
    SUBSCRIPTIONS_ENDED = Counter "rillgate_subscriptions_ended_total":
        "Subscriptions ended, by reason.";
    REQUESTS = Counter "rillgate_requests_total":
        "Requests answered, by status code. The route is - if none matched.";
    REJECTIONS = Counter "rillgate_rejections_total":
        "Requests refused, and connections closed before a request, by reason.";
    SHARES_REFUSED = Counter "rillgate_shares_refused_total":
        "Requests for a shared resource that were refused because their owner held its share, by resource.";
    AUTH_FAILURES = Counter "rillgate_auth_failures_total":
        "Requests whose token was missing, invalid or insufficient, by reason. Includes routes with enforce = false.";
    REVOCATIONS = Gauge "rillgate_revocations":
        "Number of revocation entries, by origin: posted or file.";
    STREAMS = Gauge "rillgate_streams":
        "Number of open streams, by the state of their upstream connection.";
    UPSTREAM_CONNECTS = Counter "rillgate_upstream_connects_total":
        "Attempts to open an upstream stream, by result: ok or the kind of error.";
    FRUITLESS_ENDS = Counter "rillgate_upstream_fruitless_ends_total":
        "Upstream responses that ended without an event with a new id.";
    UPSTREAM_EVENTS = Counter "rillgate_upstream_events_total":
        "Events received from upstreams.";
    UPSTREAM_BYTES = Counter "rillgate_upstream_bytes_total":
        "Bytes of response bodies received from upstreams, including comments.";
    EVENTS_DELIVERED = Counter "rillgate_events_delivered_total":
        "Events written to clients' transports.";
    BYTES_SENT = Counter "rillgate_bytes_sent_total":
        "Bytes of event streams written to clients' transports, including comments, excluding HTTP framing and TLS.";
    BYTES_SAVED = Counter "rillgate_bytes_saved_total":
        "Bytes of event streams that a content coding saved, by coding: gzip or zstd.";
    DELIVERY_SECONDS = Histogram "rillgate_delivery_seconds":
        "Seconds from parsing an event to writing it to a client's transport.";
    LAG_EVENTS = Histogram "rillgate_lag_events":
        "Number of events by which a subscriber is behind the newest event, sampled every 5 seconds.";
    EVENT_LOG_EVENTS = Gauge "rillgate_event_log_events":
        "Number of events in the event logs.";
    EVENT_LOG_BYTES = Gauge "rillgate_event_log_bytes":
        "Bytes of the events in the event logs.";
    STORE_STATE = Gauge "rillgate_store_state":
        "1 if event logs are stored on disk as configured, 0 if they are only in memory for now.";
    STORE_ERRORS = Counter "rillgate_store_errors_total":
        "Failures of the store, by kind.";
    STORE_BYTES = Gauge "rillgate_store_bytes":
        "Bytes of event logs on disk, excluding free space in the file.";
    STORE_QUEUE_EVENTS = Gauge "rillgate_store_queue_events":
        "Number of events of open streams that are not on disk yet.";
    STORE_GIVEN_UP = Counter "rillgate_store_given_up_total":
        "Closed streams, and segments of open streams, that the store deleted because it was full.";
    CLUSTER_CONNECTED = Gauge "rillgate_cluster_connected":
        "1 while the cluster's engine is connected and acknowledges this gateway's beats, 0 otherwise.";
    CLUSTER_STREAMS = Gauge "rillgate_cluster_streams":
        "Number of open streams that gateways share, by the role of this gateway.";
    CLUSTER_CLAIMS = Counter "rillgate_cluster_claims_total":
        "Claims of streams without an owner, by result.";
    CLUSTER_FENCED = Counter "rillgate_cluster_fenced_total":
        "Owned streams that another gateway took over, or that were given up because the lease was over.";
    CLUSTER_COMMIT_SECONDS = Histogram "rillgate_cluster_commit_seconds":
        "Seconds until the engine acknowledged a record.";
    CLUSTER_FOLLOW_SECONDS = Histogram "rillgate_cluster_follow_seconds":
        "Seconds from the reading of an event by the owner until this gateway had it.";
    CLUSTER_RESYNCS = Counter "rillgate_cluster_resyncs_total":
        "Times that a stream was read from the engine, by cause.";
    CLUSTER_RESETS = Counter "rillgate_cluster_resets_total":
        "Streams that began anew because the engine had lost or replaced their records, by cause.";
    CLUSTER_ERRORS = Counter "rillgate_cluster_errors_total":
        "Failed calls of the engine, and refused contents of it, by kind.";
    FORWARDED_REQUESTS = Counter "rillgate_forwarded_requests_total":
        "Requests to routes that forward, by the status of the response.";
    FORWARDED_REQUEST_SECONDS = Histogram "rillgate_forwarded_request_seconds":
        "Seconds from the start of a forwarded request to the end of its response.";
    FORWARDED_BYTES = Counter "rillgate_forwarded_bytes_total":
        "Bytes of bodies that were forwarded, by direction.";
    FORWARDED_IN_FLIGHT = Gauge "rillgate_forwarded_in_flight":
        "Number of forwarded requests whose response has not ended.";
    GAPS = Counter "rillgate_gaps_total":
        "Gaps reported to clients, by reason.";
    READ_THROUGHS = Counter "rillgate_read_throughs_total":
        "Requests for an upstream's history, by result: ok or the kind of error.";
    CONFIG_RELOADS = Counter "rillgate_config_reloads_total":
        "Reloads of the configuration, by result: ok or refused.";
    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge "rillgate_config_last_reload_successful":
        "1 if the last reload of the configuration succeeded, 0 if it was refused.";
    CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP = Gauge "rillgate_config_last_reload_success_timestamp_seconds":
        "Time at which the running configuration was loaded, in seconds since the Unix epoch.";
    CERTIFICATE_EXPIRY = Gauge "rillgate_certificate_expiry_timestamp_seconds":
        "Expiry of the certificate in use, in seconds since the Unix epoch.";
    JWKS_REFRESHES = Counter "rillgate_jwks_refreshes_total":
        "Fetches of an issuer's keys, by result: ok or the kind of error.";
    MEMORY_BYTES = Gauge "rillgate_memory_bytes":
        "Bytes that count towards limits.memory, by kind.";
    WORKER_DELAY = Gauge "rillgate_worker_delay_seconds":
        "Longest delay of a worker's timers within the last 30 to 60 s.";
    LOG_LINES_DROPPED = Counter "rillgate_log_lines_dropped_total":
        "Log lines that were dropped because standard error was not read in time.";
    TASK_PANICS = Counter "rillgate_task_panics_total":
        "Panics, by task. Each is a defect of rillgate.";
    TASKS_ABORTED = Counter "rillgate_tasks_aborted_total":
        "Tasks aborted at the deadline of the drain, by task.";
}

/// From 0.5 ms to 10 s.
pub(super) const DELIVERY_SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From 0.5 ms to 10 s.
pub(super) const CLUSTER_SECONDS_BUCKETS: &[f64] = DELIVERY_SECONDS_BUCKETS;

/// From 1 ms to a minute.
pub(super) const FORWARDED_SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// From 1 event to 10,000. A lag of 0 falls into the first bucket.
pub(super) const LAG_EVENTS_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0];

/// The reasons of a gap. Label `reason` of [`GAPS`].
pub(super) const GAP_REASONS: [&str; 6] = ["evicted", "unknown", "restarted", "lagged", "upstream", "too_large"];

/// The reasons why a shared stream began anew. Label `cause` of [`CLUSTER_RESETS`].
pub(super) const RESET_CAUSES: [&str; 3] = ["life", "chain", "gone"];

/// The tasks whose panics are counted. Label `task` of [`TASK_PANICS`]. Each series starts at zero, so that an increase
/// over it includes the first panic.
pub(super) const TASKS: [&str; 21] = [
    "accept",
    "admin",
    "admin connection",
    "catch-up",
    "certificates",
    "cluster",
    "cluster answers",
    "cluster beat",
    "cluster lease",
    "cluster nodes",
    "cluster reconnects",
    "cluster revocations",
    "connection",
    "exchange",
    "forward",
    "ingest",
    "keeper",
    "request",
    "store",
    "upkeep",
    "writer",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        assert!(ALL.len() > 20);
        for Description { name, kind, help } in ALL {
            assert!(name.starts_with("rillgate_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, MetricKind::Counter), "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn the_metrics_page_lists_exactly_the_catalogue() {
        let page = include_str!("../../docs/metrics.md");
        let process = crate::telemetry::process::render();
        let types = process.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let mut metrics: Vec<(&str, &str)> = types.collect();
        metrics.extend(ALL.iter().map(|metric| match metric.kind {
            MetricKind::Counter => (metric.name, "counter"),
            MetricKind::Gauge => (metric.name, "gauge"),
            MetricKind::Histogram => (metric.name, "histogram"),
        }));
        for (name, kind) in &metrics {
            let row = format!("| `{name}` | {kind} |");
            assert!(page.lines().any(|line| line.starts_with(&row)), "no row `{row}` in docs/metrics.md");
        }
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        for name in rows.filter(|name| name.starts_with("rillgate_") || name.starts_with("process_")) {
            assert!(metrics.iter().any(|(known, _)| *known == name), "{name} is in docs/metrics.md alone");
        }
    }

    #[test]
    fn the_metrics_page_lists_every_fixed_label_value() {
        use crate::telemetry::label::{EndReason, Protocol, StreamState, VerdictLabel};
        let page = include_str!("../../docs/metrics.md");
        let ends = EndReason::ALL.map(EndReason::as_str).to_vec();
        let verdicts = VerdictLabel::ALL.map(VerdictLabel::as_str).to_vec();
        let states = StreamState::ALL.map(StreamState::as_str).to_vec();
        let protocols = Protocol::ALL.map(Protocol::as_str).to_vec();
        for (metric, words) in [
            (SUBSCRIPTIONS_ENDED, ends),
            (SUBSCRIPTIONS, verdicts),
            (STREAMS, states),
            (SUBSCRIBERS, protocols),
            (GAPS, GAP_REASONS.to_vec()),
            (TASK_PANICS, TASKS.to_vec()),
        ] {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{metric}`"))).expect("tested above");
            for word in words {
                assert!(row.contains(&format!("`{word}`")), "{word} is not in the row of {metric}");
            }
        }
    }
}
