//! The steps of a decision, written down while it is made.
//!
//! A [`DecisionTrace`] goes through the same code that decides, so that an explanation cannot differ from the decision. It is
//! off, and costs nothing, unless someone asked for it.

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionStep {
    /// What: `token`, `header`, `iss`, `typ`, `key`, `signature`, `exp`, `nbf`, `aud`, `claims`, `revocation`,
    /// `streams_claim`, `require`, `bind`.
    pub rule: &'static str,
    /// What came of it.
    pub outcome: StepOutcome,
    /// What was found, in words; never a secret, but it may hold values of the token's claims.
    pub detail: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// It holds.
    Holds,
    /// It does not, and the request is refused.
    Fails,
}

/// Texts as alternatives, each in quotes: `"a" or "b"`.
pub fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ")
}

/// Where steps are written to, or nowhere.
#[derive(Debug)]
pub struct DecisionTrace(Option<Vec<DecisionStep>>);

impl DecisionTrace {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Keeps every step.
    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// Notes a step. `detail` is only made if someone wants it.
    pub fn step(&mut self, rule: &'static str, holds: bool, detail: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            let outcome = if holds { StepOutcome::Holds } else { StepOutcome::Fails };
            steps.push(DecisionStep { rule, outcome, detail: detail() });
        }
    }

    /// What was kept.
    pub fn into_steps(self) -> Vec<DecisionStep> {
        self.0.unwrap_or_default()
    }
}
