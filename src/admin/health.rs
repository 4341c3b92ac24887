//! The readiness of the gateway, with the reasons against it.
//!
//! The gateway is ready while no condition fails and no drain has begun. A drain never ends. Decides nothing itself:
//! each part sets its own conditions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parking_lot::RwLock;

/// Named conditions, each of them fulfilled or failed with a reason.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Locked for a lookup or a change.
    state: RwLock<State>,
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

    /// Returns the current readiness.
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
    /// Whether the gateway accepts traffic.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

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
    fn a_drain_never_ends() {
        let readiness = Readiness::new();

        readiness.drain();
        readiness.set("listeners", Ok(()));

        assert_eq!(readiness.report().status, "draining");
    }
}
