//! The rate of a stream's events over the last seconds, for the operator.
//!
//! Is told the number of events about once a second, so that publishing costs nothing more. Reads no clock.

use std::time::Instant;

use parking_lot::Mutex;

/// The rate of the events of a stream over the last samples.
#[derive(Debug, Default)]
pub struct EventRate(Mutex<Samples>);

/// The last samples: the time of each, and the number of events until then. A ring, once it is full.
#[derive(Debug, Default)]
struct Samples {
    samples: [Option<(Instant, u64)>; MAX_SAMPLES],
    /// The place of the next one, and so of the oldest once the ring is full.
    next: usize,
}

impl EventRate {
    /// Records the number of events since the stream was opened. A smaller number than before counts as the same.
    pub fn sample(&self, now: Instant, events: u64) {
        let mut samples = self.0.lock();
        let next = samples.next;
        samples.samples[next] = Some((now, events));
        samples.next = (next + 1) % MAX_SAMPLES;
    }

    /// Returns the events per second between the oldest and the newest sample. `None` before the second one.
    pub fn per_second(&self) -> Option<f64> {
        let samples = self.0.lock();
        let (newest, oldest) = ((samples.next + MAX_SAMPLES - 1) % MAX_SAMPLES, samples.next);
        let ((end, newest), (start, oldest)) =
            (samples.samples[newest]?, samples.samples[oldest].or(samples.samples[0])?);
        let seconds = end.saturating_duration_since(start).as_secs_f64();
        (seconds > 0.0).then(|| newest.saturating_sub(oldest) as f64 / seconds)
    }
}

/// Maximum number of samples. Taken once a second, six of them make a rate over five seconds.
const MAX_SAMPLES: usize = 6;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_five_seconds() {
        let (rate, start) = (EventRate::default(), Instant::now());
        let mut rates = Vec::new();

        for (second, events) in
            [(0, 100), (1, 110), (2, 120), (3, 120), (4, 120), (5, 120), (6, 120), (7, 120), (8, 120)]
        {
            rate.sample(start + Duration::from_secs(second), events);
            rates.push(rate.per_second().map(f64::round));
        }

        let expected = [None, Some(10.0), Some(10.0), Some(7.0), Some(5.0), Some(4.0), Some(2.0), Some(0.0), Some(0.0)];
        assert_eq!(rates, expected);
    }
}
