//! The registry that creates metric handles, backed by one Prometheus recorder that is owned and not global.
//!
//! Several gateways in one process (tests, an embedder) each have their own registry, so their numbers do not mix.
//! Create a handle once and keep it: creating one costs an allocation and a lookup. A buffered handle joins the list of
//! [`Registry::publish`] when it is created, so none can be forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use super::buffered::{BufferedCounter, BufferedGauge};
use super::catalogue::{self, MetricKind};

/// A shared recorder in which every metric of the catalogue is described. Cheap to clone.
#[derive(Clone)]
pub(super) struct Registry {
    recorder: Arc<PrometheusRecorder>,
    /// Locked to create a handle and to publish all of them.
    buffered: Arc<Mutex<Buffered>>,
}

/// The buffered values and the recorder's handles that they are copied to.
#[derive(Default)]
struct Buffered {
    counters: Vec<(Arc<AtomicU64>, Counter)>,
    gauges: Vec<(Arc<AtomicI64>, Gauge)>,
}

impl Registry {
    pub(super) fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in [
            (catalogue::CLUSTER_COMMIT_SECONDS, catalogue::CLUSTER_SECONDS_BUCKETS),
            (catalogue::CLUSTER_FOLLOW_SECONDS, catalogue::CLUSTER_SECONDS_BUCKETS),
            (catalogue::FORWARDED_REQUEST_SECONDS, catalogue::FORWARDED_SECONDS_BUCKETS),
            (catalogue::LAG_EVENTS, catalogue::LAG_EVENTS_BUCKETS),
        ] {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
                .expect("the only error is an empty list of buckets");
        }
        let recorder = builder.build_recorder();
        for description in catalogue::ALL {
            // No unit: the names carry it already, and the exporter would add it a second time.
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
        Self { recorder: Arc::new(recorder), buffered: Arc::default() }
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

    /// Creates a counter for hot paths. The recorder sees its value at each [`Self::publish`].
    pub(super) fn buffered_counter(&self, name: &'static str, labels: Vec<Label>) -> BufferedCounter {
        let value = Arc::<AtomicU64>::default();
        self.buffered.lock().counters.push((value.clone(), self.counter(name, labels)));
        BufferedCounter::new(value)
    }

    /// Creates a gauge for hot paths. The recorder sees its value at each [`Self::publish`].
    pub(super) fn buffered_gauge(&self, name: &'static str, labels: Vec<Label>) -> BufferedGauge {
        let value = Arc::<AtomicI64>::default();
        self.buffered.lock().gauges.push((value.clone(), self.gauge(name, labels)));
        BufferedGauge::new(value)
    }

    /// Copies every buffered value to the recorder.
    pub(super) fn publish(&self) {
        let buffered = self.buffered.lock();
        for (value, counter) in &buffered.counters {
            counter.absolute(value.load(Relaxed));
        }
        for (value, gauge) in &buffered.gauges {
            // Exact up to 2^53, which no gauge of ours reaches.
            gauge.set(value.load(Relaxed) as f64);
        }
    }
}

static METADATA: Metadata<'static> = Metadata::new("rillgate", Level::INFO, None);
