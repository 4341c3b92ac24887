//! Events, bytes and latencies of deliveries: each thread counts by itself, and a reader adds up.
//!
//! Every delivery changes these numbers. If all threads changed the same ones, each change would take a cache line away
//! from another core, and the recorder's histogram would keep every latency until it is rendered.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use metrics_exporter_prometheus::formatting::sanitize_label_value;

use super::catalogue::{self, DELIVERY_SECONDS, DELIVERY_SECONDS_BUCKETS};

/// The deliveries of one route.
#[derive(Default)]
pub(super) struct DeliveryMetrics {
    parts: [Part; PARTS],
}

/// Threads that count by themselves. If there are more, some share their numbers.
const PARTS: usize = 16;

/// The numbers of one thread. Aligned to two cache lines, since processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    events: AtomicU64,
    bytes: AtomicU64,
    /// The sum of all latencies, in nanoseconds.
    nanos: AtomicU64,
    /// The number of latencies up to each bound and above the one before, and of those above all bounds.
    latencies: [AtomicU64; DELIVERY_SECONDS_BUCKETS.len() + 1],
}

impl DeliveryMetrics {
    /// Counts events that were handed to one client's transport, and their total size.
    pub(super) fn delivered(&self, events: u64, bytes: u64) {
        let part = self.part();
        part.events.fetch_add(events, Relaxed);
        part.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes other than events that were handed to a client's transport.
    pub(super) fn sent(&self, bytes: u64) {
        self.part().bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts the time from receiving an event to handing it to a client's transport.
    pub(super) fn latency(&self, latency: Duration) {
        let (part, seconds) = (self.part(), latency.as_secs_f64());
        part.latencies[DELIVERY_SECONDS_BUCKETS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        part.nanos.fetch_add(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns the number of events so far.
    pub(super) fn events(&self) -> u64 {
        self.sum(|part| &part.events)
    }

    /// Returns the number of bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.sum(|part| &part.bytes)
    }

    fn part(&self) -> &Part {
        &self.parts[PART.with(|part| *part)]
    }

    fn sum(&self, number: impl Fn(&Part) -> &AtomicU64) -> u64 {
        self.parts.iter().map(|part| number(part).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Writes the samples of the histogram in Prometheus' text format.
    fn write_histogram(&self, text: &mut String, route: &str) {
        let route = sanitize_label_value(route);
        let mut count = 0;
        for (index, bound) in DELIVERY_SECONDS_BUCKETS.iter().enumerate() {
            count += self.sum(|part| &part.latencies[index]);
            let _ = writeln!(text, "{DELIVERY_SECONDS}_bucket{{route=\"{route}\",le=\"{bound}\"}} {count}");
        }
        count += self.sum(|part| &part.latencies[DELIVERY_SECONDS_BUCKETS.len()]);
        let seconds = Duration::from_nanos(self.sum(|part| &part.nanos)).as_secs_f64();
        let _ = writeln!(text, "{DELIVERY_SECONDS}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{DELIVERY_SECONDS}_sum{{route=\"{route}\"}} {seconds}");
        let _ = writeln!(text, "{DELIVERY_SECONDS}_count{{route=\"{route}\"}} {count}");
    }
}

/// Renders the histogram of latencies of these routes in Prometheus' text format, with a blank line at its end.
pub(super) fn render<'a>(routes: impl IntoIterator<Item = (&'a str, &'a DeliveryMetrics)>) -> String {
    let help = catalogue::ALL.iter().find(|metric| metric.name == DELIVERY_SECONDS).map_or("", |metric| metric.help);
    let mut text = format!("# HELP {DELIVERY_SECONDS} {help}\n# TYPE {DELIVERY_SECONDS} histogram\n");
    for (route, metrics) in routes {
        metrics.write_histogram(&mut text, route);
    }
    text.push('\n');
    text
}

/// The number that the next thread takes.
static NEXT_PART: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The part of this thread.
    static PART: usize = NEXT_PART.fetch_add(1, Relaxed) % PARTS;
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_are_added_up() {
        let metrics = DeliveryMetrics::default();

        thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| {
                    metrics.delivered(2, 300);
                    metrics.sent(5);
                });
            }
        });

        assert_eq!((metrics.events(), metrics.bytes()), (4 * PARTS as u64, 2 * PARTS as u64 * 305));
    }

    #[test]
    fn a_latency_counts_in_the_first_bucket_that_holds_it() {
        let metrics = DeliveryMetrics::default();
        for milliseconds in [0, 5, 6, 20_000] {
            metrics.latency(Duration::from_millis(milliseconds));
        }

        let text = render([("say \"hi\"", &metrics)]);

        for line in [
            "# TYPE rillgate_delivery_seconds histogram",
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="0.0005"} 1"#,
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="0.0025"} 1"#,
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="0.005"} 2"#,
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="0.01"} 3"#,
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="10"} 3"#,
            r#"rillgate_delivery_seconds_bucket{route="say \"hi\"",le="+Inf"} 4"#,
            r#"rillgate_delivery_seconds_sum{route="say \"hi\""} 20.011"#,
            r#"rillgate_delivery_seconds_count{route="say \"hi\""} 4"#,
        ] {
            assert!(text.lines().any(|rendered| rendered == line), "no line {line} in\n{text}");
        }
    }
}
