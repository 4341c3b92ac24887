//! Whether the gateway wants traffic, and why not.
//!
//! Ready means: no latch holds a reason and no drain has begun. A drain is never taken back. Decides nothing itself:
//! who knows a reason sets it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parking_lot::RwLock;

/// Named reasons against traffic.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Held for a lookup or a change.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    reasons: BTreeMap<Cow<'static, str>, String>,
    notes: BTreeMap<Cow<'static, str>, String>,
    draining: bool,
}

/// The readiness of one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReadinessReport {
    /// `ready`, `unready` or `draining`.
    pub status: &'static str,
    /// What is wrong, by latch.
    pub reasons: BTreeMap<Cow<'static, str>, String>,
    /// What is wrong and no reason against traffic, by what it is about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<Cow<'static, str>, String>,
}

impl Readiness {
    /// Begins ready: set a latch for whatever must happen first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the latch `name`: `Ok` clears it, `Err` holds the gateway unready for that reason. The reason is shown to
    /// whoever reads the admin port, so it holds no secret.
    pub fn set(&self, name: impl Into<Cow<'static, str>>, state: Result<(), String>) {
        let reasons = &mut self.state.write().reasons;
        match state {
            Ok(()) => reasons.remove(&name.into()),
            Err(reason) => reasons.insert(name.into(), reason),
        };
    }

    /// Says what is wrong with `name` although traffic is wanted; `None`: nothing. Shown as the reasons are.
    pub fn note(&self, name: &'static str, note: Option<String>) {
        let notes = &mut self.state.write().notes;
        match note {
            Some(note) => notes.insert(name.into(), note),
            None => notes.remove(name),
        };
    }

    /// A drain has begun: unready from now on.
    pub fn drain(&self) {
        self.state.write().draining = true;
    }

    /// The readiness now.
    pub fn report(&self) -> ReadinessReport {
        let state = self.state.read();
        let status = match (state.draining, state.reasons.is_empty()) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "unready",
        };
        ReadinessReport { status, reasons: state.reasons.clone(), notes: state.notes.clone() }
    }
}

impl ReadinessReport {
    /// Whether traffic is wanted.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_enough_and_the_last_one_to_clear_makes_ready() {
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
    fn a_drain_is_never_taken_back() {
        let readiness = Readiness::new();

        readiness.drain();
        readiness.set("listeners", Ok(()));

        assert_eq!(readiness.report().status, "draining");
    }
}
