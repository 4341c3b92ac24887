//! The metrics of the requests that a route forwards.

use std::fmt;
use std::time::Duration;

use metrics::{Histogram, Label};

use super::buffered::{BufferedCounter, BufferedGauge};
use super::catalogue;
use super::family::Family;
use super::registry::Registry;

/// The metrics of one route's forwarded requests.
pub struct ForwardMetrics {
    requests: Family<u16>,
    seconds: Histogram,
    in_flight: BufferedGauge,
    sent_to_upstream: BufferedCounter,
    sent_to_client: BufferedCounter,
}

impl ForwardMetrics {
    pub(super) fn new(registry: &Registry, route: &str) -> Self {
        let labels = || vec![Label::new("route", route.to_owned())];
        let bytes = |direction: &'static str| {
            let labels = labels().into_iter().chain([Label::new("direction", direction)]).collect();
            registry.buffered_counter(catalogue::FORWARDED_BYTES, labels)
        };
        Self {
            requests: Family::new(registry, catalogue::FORWARDED_REQUESTS, labels(), "status"),
            seconds: registry.histogram(catalogue::FORWARDED_REQUEST_SECONDS, labels()),
            in_flight: registry.buffered_gauge(catalogue::FORWARDED_IN_FLIGHT, labels()),
            sent_to_upstream: bytes("request"),
            sent_to_client: bytes("response"),
        }
    }

    /// Counts a response of this status to a client. A number outside 100 to 599 counts as 0.
    pub fn answered(&self, status: u16) {
        self.requests.increment(if (100..600).contains(&status) { status } else { 0 });
    }

    /// Counts an exchange that begins. Call [`Self::ended`] once for each.
    pub fn begun(&self) {
        self.in_flight.change(1);
    }

    /// Counts the end of an exchange that took so long.
    pub fn ended(&self, took: Duration) {
        self.in_flight.change(-1);
        self.seconds.record(took);
    }

    /// Counts bytes of request bodies.
    pub fn sent_to_upstream(&self, bytes: u64) {
        self.sent_to_upstream.add(bytes);
    }

    /// Counts bytes of response bodies.
    pub fn sent_to_client(&self, bytes: u64) {
        self.sent_to_client.add(bytes);
    }
}

impl fmt::Debug for ForwardMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardMetrics").finish_non_exhaustive()
    }
}
