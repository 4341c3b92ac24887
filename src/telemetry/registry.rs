//! Where handles come from: one Prometheus recorder, owned and not global.
//!
//! Several gateways in one process (tests, an embedder) each have their own, so their numbers do not mix. Handles
//! are asked for once and kept by the caller: asking costs an allocation and a lookup.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::catalogue::{self, MetricKind};

/// A shared recorder with every metric described.
#[derive(Clone)]
pub(super) struct Registry {
    recorder: Arc<PrometheusRecorder>,
}

impl Registry {
    pub(super) fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in [
            (catalogue::DELIVERY_SECONDS, catalogue::DELIVERY_SECONDS_BUCKETS),
            (catalogue::LAG_EVENTS, catalogue::LAG_EVENTS_BUCKETS),
        ] {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
                .expect("the only error is an empty list of buckets");
        }
        let recorder = builder.build_recorder();
        for description in catalogue::ALL {
            // No unit: the names carry it already, and the exporter would spell it again.
            match description.kind {
                MetricKind::Counter => {
                    recorder.describe_counter(description.name.into(), None, description.help.into())
                }
                MetricKind::Gauge => recorder.describe_gauge(description.name.into(), None, description.help.into()),
                MetricKind::Histogram => {
                    recorder.describe_histogram(description.name.into(), None, description.help.into())
                }
            }
        }
        Self { recorder: Arc::new(recorder) }
    }

    pub(super) fn handle(&self) -> PrometheusHandle {
        self.recorder.handle()
    }

    pub(super) fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    pub(super) fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    pub(super) fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }
}

static METADATA: Metadata<'static> = Metadata::new("rillgate", Level::INFO, None);
