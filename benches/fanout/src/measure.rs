//! Counters of the measurement: deliveries, their latency, and all errors.

use std::fmt;

use hdrhistogram::Histogram;

use crate::scan::now_micros;

/// Errors in the events of clients. All counts have to be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Events left out.
    pub missing: u64,
    /// Events that came twice in a row.
    pub repeated: u64,
    /// Events older than the one before.
    pub disordered: u64,
    /// Events whose `id` was not the one that was next.
    pub wrong_ids: u64,
    /// Events that were not the producer's.
    pub wrong_contents: u64,
    /// Events that could not be decoded when their bytes had arrived.
    pub held_back: u64,
    /// Streams that did not end with the event that the producer sent last.
    pub short: u64,
}

/// The number of deliveries, their latency and their faults.
pub struct Tally {
    /// Events received.
    pub events: u64,
    /// The errors in the events.
    pub faults: Faults,
    /// Microseconds from an event's stamp to its arrival.
    pub latency: Histogram<u64>,
    /// Bytes that came out of sockets.
    pub wire_bytes: u64,
    /// Bytes of HTTP: the same without TLS.
    pub http_bytes: u64,
    /// The time at which the current bytes were read, in microseconds.
    now: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds");
        Self { events: 0, faults: Faults::default(), latency, wire_bytes: 0, http_bytes: 0, now: 0 }
    }
}

impl Tally {
    /// Reads the clock once, before the bytes of a client are parsed.
    pub fn tick(&mut self) {
        self.now = now_micros();
    }

    /// Counts an event, and a fault unless its number is `expected`.
    pub fn event(&mut self, expected: u64, number: u64, stamp: u64, has_next_id: bool) {
        self.events += 1;
        match number {
            _ if number > expected => self.faults.missing += number - expected,
            _ if number + 1 == expected => self.faults.repeated += 1,
            _ if number < expected => self.faults.disordered += 1,
            _ => {}
        }
        self.faults.wrong_ids += u64::from(!has_next_id);
        self.latency.saturating_record(self.now.saturating_sub(stamp));
    }

    /// Starts a new window. Faults stay counted.
    pub fn restart(&mut self) {
        (self.events, self.wire_bytes, self.http_bytes) = (0, 0, 0);
        self.latency.reset();
    }

    /// Returns a quantile of the latency in milliseconds.
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Faults {
    /// Whether there was no error.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (self.missing, "events missing"),
            (self.repeated, "events repeated"),
            (self.disordered, "events out of order"),
            (self.wrong_ids, "ids not the expected next one"),
            (self.wrong_contents, "events not the producer's"),
            (self.held_back, "events not decodable when they arrived"),
            (self.short, "streams without the first or the last events"),
        ];
        let mut is_first = true;
        for (count, what) in named.into_iter().filter(|(count, _)| *count > 0) {
            write!(out, "{}{count} {what}", if is_first { "" } else { ", " })?;
            is_first = false;
        }
        if is_first { out.write_str("nothing wrong") } else { Ok(()) }
    }
}
