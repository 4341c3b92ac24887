//! The readiness of the gateway, with the reasons against it.
//!
//! The gateway is ready while no condition fails, no worker is stuck and no drain has begun. A drain never ends. Of the
//! workers it asks at each report, since a worker that is stuck cannot set a condition; each other part sets its own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::RwLock;

use crate::runtime::workers::Workers;

/// Named conditions, each of them fulfilled or failed with a reason.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Locked for a lookup or a change.
    state: RwLock<State>,
    /// Empty until they run.
    workers: OnceLock<Workers>,
}

#[derive(Debug, Default)]
struct State {
    reasons: BTreeMap<Cow<'static, str>, String>,
    notes: BTreeMap<Cow<'static, str>, String>,
    draining: bool,
}

/// The readiness at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReadinessReport {
    /// `ready`, `unready` or `draining`.
    pub status: &'static str,
    /// The reasons of failed conditions, by condition.
    pub reasons: BTreeMap<Cow<'static, str>, String>,
    /// Problems that do not make the gateway unready, by subject.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<Cow<'static, str>, String>,
}

impl Readiness {
    /// The name of the condition and of the note about the cluster.
    pub const CLUSTER: &'static str = "cluster";

    /// Starts ready. Set a failed condition for everything that must happen first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the condition `name`. `Err` makes the gateway unready for that reason until `Ok` clears it. The admin port
    /// shows the reason, so it must not contain a secret.
    pub fn set(&self, name: impl Into<Cow<'static, str>>, state: Result<(), String>) {
        let reasons = &mut self.state.write().reasons;
        match state {
            Ok(()) => reasons.remove(&name.into()),
            Err(reason) => reasons.insert(name.into(), reason),
        };
    }

    /// Sets or clears the note `name`: a problem that does not make the gateway unready. The admin port shows it, as it
    /// does reasons.
    pub fn note(&self, name: &'static str, note: Option<String>) {
        let notes = &mut self.state.write().notes;
        match note {
            Some(note) => notes.insert(name.into(), note),
            None => notes.remove(name),
        };
    }

    /// Records that a drain has begun. The gateway is unready from now on.
    pub fn drain(&self) {
        self.state.write().draining = true;
    }

    /// Lets reports depend on the workers. A second call has no effect.
    pub fn observe_workers(&self, workers: Workers) {
        self.workers.get_or_init(|| workers);
    }

    /// Returns an error if a worker's timers are so late that only a restart of the process helps: more than
    /// `MAX_LIVE_DELAY`.
    ///
    /// # Errors
    /// The text names the worker.
    pub fn liveness(&self) -> Result<(), String> {
        self.check_workers(MAX_LIVE_DELAY)
    }

    fn check_workers(&self, most: Duration) -> Result<(), String> {
        let Some(workers) = self.workers.get() else { return Ok(()) };
        let (index, delay) = workers.latest();
        check_delay(index, delay, most)
    }

    /// Returns the current readiness.
    pub fn report(&self) -> ReadinessReport {
        let state = self.state.read();
        let mut reasons = state.reasons.clone();
        if let Err(reason) = self.check_workers(MAX_READY_DELAY) {
            reasons.insert("workers".into(), reason);
        }
        let status = match (state.draining, reasons.is_empty()) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "unready",
        };
        ReadinessReport { status, reasons, notes: state.notes.clone() }
    }
}

impl ReadinessReport {
    /// Whether the gateway accepts traffic.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

fn check_delay(index: usize, delay: Duration, most: Duration) -> Result<(), String> {
    match delay > most {
        true => Err(format!("worker {index} has not run its timers for {:.1} s", delay.as_secs_f64())),
        false => Ok(()),
    }
}

/// The longest delay of a worker's timers with which the gateway is ready. Its clients notice a second; a balancer
/// should not move them for less than a handful.
const MAX_READY_DELAY: Duration = Duration::from_secs(5);

/// The longest delay of a worker's timers with which the process is alive. A restart ends the streams of all workers, so
/// it has to be certain that this one does not come back.
const MAX_LIVE_DELAY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_condition_is_enough_to_be_unready() {
        let readiness = Readiness::new();
        assert!(readiness.report().is_ready());

        readiness.set("listeners", Err("not bound".into()));
        readiness.set("issuer main", Err("no keys yet".into()));
        readiness.set("listeners", Ok(()));

        let report = readiness.report();
        assert_eq!(report.status, "unready");
        assert_eq!(report.reasons["issuer main"], "no keys yet");
        readiness.set("issuer main", Ok(()));
        assert!(readiness.report().is_ready());
    }

    #[test]
    fn a_worker_counts_as_late_above_the_bound_only() {
        assert_eq!(check_delay(1, MAX_READY_DELAY, MAX_READY_DELAY), Ok(()));

        let late = check_delay(1, Duration::from_millis(31_250), MAX_LIVE_DELAY);

        assert_eq!(late, Err("worker 1 has not run its timers for 31.2 s".to_owned()));
    }

    #[test]
    fn a_drain_never_ends() {
        let readiness = Readiness::new();

        readiness.drain();
        readiness.set("listeners", Ok(()));

        assert_eq!(readiness.report().status, "draining");
    }
}
