//! The steps of an authorization decision, recorded while it is made.
//!
//! The deciding code itself takes a [`DecisionTrace`], so an explanation cannot differ from the decision. The trace is
//! off, and costs nothing, unless an explanation was requested.

/// One check of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionStep {
    /// The check's name: `token`, `header`, `iss`, `typ`, `key`, `signature`, `exp`, `nbf`, `aud`, `claims`,
    /// `revocation`, `streams_claim`, `require`, `bind`.
    pub rule: &'static str,
    /// The result.
    pub outcome: StepOutcome,
    /// The finding in words. Never holds a secret, but may hold values of the token's claims.
    pub detail: String,
}

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The check passed.
    Holds,
    /// The check failed and the request is refused.
    Fails,
}

/// Joins quoted alternatives: `"a" or "b"`.
pub(super) fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ")
}

/// A recorder of steps, or nothing at all.
#[derive(Debug)]
pub(super) struct DecisionTrace(Option<Vec<DecisionStep>>);

impl DecisionTrace {
    /// Returns a trace that records nothing.
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// Returns a trace that records every step.
    pub(super) fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// Records a step. Calls `detail` only if the trace is on.
    pub(super) fn step(&mut self, rule: &'static str, holds: bool, detail: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            let outcome = if holds { StepOutcome::Holds } else { StepOutcome::Fails };
            steps.push(DecisionStep { rule, outcome, detail: detail() });
        }
    }

    /// Returns the recorded steps.
    pub(super) fn into_steps(self) -> Vec<DecisionStep> {
        self.0.unwrap_or_default()
    }
}
