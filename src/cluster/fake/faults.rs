//! The faults of a fake engine, as probabilities, and its delays.

use std::time::Duration;

use super::random::SeededRandom;

/// The probabilities of faults, each for one call or message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cluster) struct Faults {
    /// A request or an answer takes seconds.
    pub slow: f64,
    /// A request does not arrive.
    pub lost_request: f64,
    /// The request is carried out, and the answer is lost.
    pub lost_answer: f64,
    /// A correct append is refused.
    pub wrong_refusal: f64,
    /// A read that any replica may answer lacks what was stored last.
    pub stale: f64,
    /// The newest record of a log is told late, when it may be the newest no longer.
    pub late_newest: f64,
    /// A message to a subscriber is lost.
    pub lost_message: f64,
    /// True if nothing takes any time.
    pub is_prompt: bool,
}

impl Faults {
    /// Draws the faults of a schedule. Some have none at all.
    pub(in crate::cluster) fn drawn(random: &SeededRandom) -> Self {
        let rate = |most: f64| match random.below(3) {
            0 => 0.0,
            part => most * part as f64 / 2.0,
        };
        Self {
            slow: rate(0.03),
            lost_request: rate(0.04),
            lost_answer: rate(0.04),
            wrong_refusal: rate(0.02),
            stale: rate(0.4),
            late_newest: rate(0.2),
            lost_message: rate(0.1),
            is_prompt: false,
        }
    }

    /// Draws the time that a request, an answer or a message takes.
    pub(super) fn delay(&self, random: &SeededRandom) -> Duration {
        if self.is_prompt {
            return Duration::ZERO;
        }
        if random.has(self.slow) {
            return random.pause(1000, 6000);
        }
        match random.below(5) {
            0 => random.pause(0, 200),
            _ => random.pause(0, 20),
        }
    }
}
