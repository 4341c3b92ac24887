//! What is counted while clients receive.

use hdrhistogram::Histogram;

use crate::scan::now_micros;

/// Deliveries, and whether they were what they had to be.
pub struct Tally {
    /// Events received.
    pub events: u64,
    /// Places where numbers were left out.
    pub gaps: u64,
    /// Events that had come already.
    pub repeats: u64,
    /// Microseconds from an event's stamp to its arrival.
    pub latency: Histogram<u64>,
    /// The time of this round of reading: one look at the clock for many events.
    now: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds");
        Self { events: 0, gaps: 0, repeats: 0, latency, now: 0 }
    }
}

impl Tally {
    /// A client's bytes are about to be looked at.
    pub fn tick(&mut self) {
        self.now = now_micros();
    }

    /// An event came where `expected` should.
    pub fn event(&mut self, expected: Option<u64>, number: u64, stamp: u64) {
        self.events += 1;
        match expected {
            Some(expected) if number > expected => self.gaps += 1,
            Some(expected) if number < expected => self.repeats += 1,
            _ => {}
        }
        self.latency.saturating_record(self.now.saturating_sub(stamp));
    }

    /// Starts a new window; what is wrong stays counted.
    pub fn restart(&mut self) {
        self.events = 0;
        self.latency.reset();
    }

    /// A quantile of the latency in milliseconds.
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}
