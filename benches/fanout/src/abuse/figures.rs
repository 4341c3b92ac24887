//! The figures of one situation at one server, and the goals that they have to reach.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::situation::{Newcomer, Situation};
use crate::report::rounded;

/// The time for which service is awaited after an attack.
pub const RETURN: Duration = Duration::from_secs(12);

/// The time after which service has to be back.
const MOST_SECONDS: f64 = 5.0;

/// Memory above `limits.memory` that is allowed, in MiB.
const OVERSHOOT: u64 = 64;

/// Growth that is the allocator's and not the attack's, in MiB.
const ALLOCATOR: f64 = 16.0;

/// The most bytes that may be held for a byte that was sent.
const AMPLIFICATION: f64 = 100.0;

/// The figures of a trial. Latencies are 99th percentiles before, during and after the attack, in milliseconds.
#[derive(Debug)]
pub struct Figures {
    pub sent: f64,
    pub produced: f64,
    pub requests: u64,
    pub cpu_seconds: f64,
    /// The highest memory, and the growth since before the attack, in MiB.
    pub peak: f64,
    pub grown: f64,
    pub readers: [f64; 3],
    pub newcomers: [f64; 3],
    /// Those of a reader that is connected to the producer itself.
    pub direct: [f64; 3],
    /// Wrong or missing answers to newcomers and probes during the attack, and their number.
    pub failed: usize,
    pub visits: usize,
    pub unanswered_probes: usize,
    /// Seconds until service was back, or what was wrong at the end.
    pub back: Result<f64, String>,
    pub faults: Option<String>,
    /// The share of the server's core that other processes used during the attack.
    pub other_share: f64,
    /// The proof that only this situation has to give.
    pub shown: Option<Result<String, String>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            sent: 0.0,
            produced: 0.0,
            requests: 0,
            cpu_seconds: 0.0,
            peak: 0.0,
            grown: 0.0,
            readers: [0.0; 3],
            newcomers: [0.0; 3],
            direct: [0.0; 3],
            failed: 0,
            visits: 0,
            unanswered_probes: 0,
            back: Ok(0.0),
            faults: None,
            other_share: 0.0,
            shown: None,
        }
    }
}

impl Figures {
    /// Returns the goals that were missed. What the direct reader waits is no server's delay, so it is added to the bounds.
    pub fn missed(&self, situation: &Situation, control: Option<&Self>) -> Vec<String> {
        let mut missed = Vec::new();
        let bound = (situation.memory + OVERSHOOT) as f64;
        if self.peak > bound {
            missed.push(format!("memory {:.0} MiB, bound {bound:.0}", self.peak));
        }
        for (who, [before, during, _]) in [("readers", self.readers), ("newcomers", self.newcomers)] {
            let is_told = who == "newcomers" && situation.newcomer == Newcomer::NewKey;
            if during > bearable(before) + self.direct[1] && !is_told {
                missed.push(format!("p99 of {who} {before:.1} to {during:.1} ms"));
            }
        }
        if let Some(control) = control {
            let pairs = [("readers", self.readers, control.readers), ("newcomers", self.newcomers, control.newcomers)];
            for (who, [_, ours, _], [_, controls, _]) in pairs {
                if ours > comparable(controls) + self.direct[1] {
                    missed.push(format!("p99 of {who} {ours:.1} ms, with nginx {controls:.1} ms"));
                }
            }
        }
        if self.failed > 0 && situation.newcomer != Newcomer::NewKey {
            missed.push(format!("{} of {} newcomers failed", self.failed, self.visits));
        }
        if self.unanswered_probes > 0 {
            missed.push(format!("{} probes failed", self.unanswered_probes));
        }
        match &self.back {
            Err(wrong) => missed.push(format!("not back within {RETURN:?}: {wrong}")),
            Ok(back) if *back > MOST_SECONDS => missed.push(format!("back after {back:.1} s")),
            Ok(_) => {}
        }
        if !situation.holds_events && self.grown > ALLOCATOR && self.amplification() > AMPLIFICATION {
            missed.push(format!("amplification {:.0}", self.amplification()));
        }
        if let Some(most) = situation.upstream_requests
            && self.requests > most
        {
            missed.push(format!("{} upstream requests, bound {most}", self.requests));
        }
        missed.extend(self.faults.iter().map(|faults| format!("readers: {faults}")));
        missed.extend(self.shown.iter().filter_map(|shown| shown.clone().err()));
        missed
    }

    /// Bytes held for each byte sent.
    fn amplification(&self) -> f64 {
        self.grown.max(0.0) * 1_048_576.0 / self.sent.max(1.0)
    }

    /// The CPU seconds for each MB of the attack, of its clients and its producer.
    fn cpu_per_megabyte(&self) -> f64 {
        self.cpu_seconds * 1e6 / (self.sent + self.produced).max(1.0)
    }

    /// A row to keep.
    pub fn json(&self, situation: &Situation, control: Option<&Self>, failures: &[String]) -> Value {
        let shown = self.shown.as_ref().map(|shown| match shown {
            Ok(shown) | Err(shown) => shown,
        });
        json!({
            "number": situation.number, "title": situation.title, "memory_bound": situation.memory + OVERSHOOT,
            "rillgate": self.figures(), "nginx": control.map(Self::figures), "failures": failures, "shown": shown,
        })
    }

    fn figures(&self) -> Value {
        let three = |figures: [f64; 3]| figures.map(rounded).to_vec();
        json!({
            "sent": self.sent, "produced": self.produced, "upstream_requests": self.requests,
            "cpu_seconds": rounded(self.cpu_seconds), "cpu_seconds_per_megabyte": rounded(self.cpu_per_megabyte()),
            "peak_mib": rounded(self.peak), "grown_mib": rounded(self.grown),
            "amplification": rounded(self.amplification()), "readers_p99_ms": three(self.readers),
            "newcomers_p99_ms": three(self.newcomers), "direct_p99_ms": three(self.direct), "newcomers": self.visits, "newcomers_failed": self.failed,
            "probes_failed": self.unanswered_probes, "other_share": rounded(self.other_share), "back_seconds": self.back.clone().ok().map(rounded),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [[r0, r1, r2], [n0, n1, n2], [d0, d1, d2]] = [self.readers, self.newcomers, self.direct];
        write!(
            out,
            "sent {:.0} B (producer {:.1} MB, {} requests), CPU {:.2} s = {:.2} s/MB, memory +{:.1} to {:.0} MiB = {:.1} x; \
             p99 ms of readers {r0:.1} / {r1:.1} / {r2:.1}, of newcomers {n0:.1} / {n1:.1} / {n2:.1} ({} of {} failed), \
             of the direct reader {d0:.1} / {d1:.1} / {d2:.1}; \
             probes failed {}; back {}; others took {:.0} % of the core",
            self.sent,
            self.produced / 1e6,
            self.requests,
            self.cpu_seconds,
            self.cpu_per_megabyte(),
            self.grown,
            self.peak,
            self.amplification(),
            self.failed,
            self.visits,
            self.unanswered_probes,
            self.back.as_ref().map_or_else(Clone::clone, |back| format!("after {back:.1} s")),
            self.other_share * 100.0,
        )?;
        match &self.shown {
            Some(Ok(shown) | Err(shown)) => write!(out, "; {shown}"),
            None => Ok(()),
        }
    }
}

/// Three times the latency before the attack, or 50 ms if that is more.
pub fn bearable(before: f64) -> f64 {
    (3.0 * before).max(50.0)
}

/// Three times the latency with the control, or 20 ms more if that is more. The 99th percentile of a row is its worst one to
/// four events; without any attack it is 1 to 21 ms from run to run, with either server.
fn comparable(control: f64) -> f64 {
    (3.0 * control).max(control + 20.0)
}

#[cfg(test)]
mod tests {
    use super::super::situation::SITUATIONS;
    use super::*;

    /// A row that reaches every goal of situation 33, whose memory may be 128 MiB.
    fn good() -> Figures {
        Figures {
            sent: 1e6,
            peak: 128.0,
            grown: 90.0,
            readers: [20.0, 60.0, 20.0],
            newcomers: [1.0, 50.0, 1.0],
            visits: 100,
            back: Ok(5.0),
            ..Figures::default()
        }
    }

    #[test]
    fn a_row_at_its_bounds_passes() {
        assert_eq!(good().missed(&SITUATIONS[0], None), Vec::<String>::new());
    }

    #[test]
    fn each_goal_that_is_missed_is_named() {
        type Change = fn(&mut Figures);
        let rows: [(Change, &str); 8] = [
            (|row| row.peak = 129.0, "memory 129 MiB, bound 128"),
            (|row| row.readers[1] = 61.0, "p99 of readers 20.0 to 61.0 ms"),
            (|row| row.newcomers[1] = 51.0, "p99 of newcomers 1.0 to 51.0 ms"),
            (|row| row.failed = 1, "1 of 100 newcomers failed"),
            (|row| row.unanswered_probes = 2, "2 probes failed"),
            (
                |row| row.back = Err("a newcomer got status 503".to_owned()),
                "not back within 12s: a newcomer got status 503",
            ),
            (|row| row.back = Ok(5.1), "back after 5.1 s"),
            (|row| row.sent = 9e5, "amplification 105"),
        ];
        for (worsen, said) in rows {
            let mut row = good();
            worsen(&mut row);

            assert_eq!(row.missed(&SITUATIONS[0], None), [said]);
        }
    }

    #[test]
    fn growth_within_the_allocators_pages_passes() {
        let row = Figures { sent: 10.0, grown: 16.0, ..good() };

        assert_eq!(row.missed(&SITUATIONS[0], None), Vec::<String>::new());
    }

    #[test]
    fn a_row_that_is_worse_than_its_control_by_more_than_noise_fails() {
        let row = Figures { readers: [20.0, 40.0, 20.0], ..good() };
        let control = |during| Figures { readers: [20.0, during, 20.0], newcomers: [1.0, 50.0, 1.0], ..good() };

        assert_eq!(row.missed(&SITUATIONS[0], Some(&control(20.0))), Vec::<String>::new());
        let missed = row.missed(&SITUATIONS[0], Some(&control(13.0)));
        assert_eq!(missed, ["p99 of readers 40.0 ms, with nginx 13.0 ms"]);
    }

    #[test]
    fn the_delay_of_the_producer_and_the_machine_is_not_the_servers() {
        let row = Figures { readers: [20.0, 100.0, 20.0], direct: [1.0, 40.0, 1.0], ..good() };

        assert_eq!(row.missed(&SITUATIONS[0], None), Vec::<String>::new());
    }
}
