//! `Last-Event-ID`: clients that come back must be able to say where they were.

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;

/// Looks at the outcome of a resume: a rillgate that is told an id never answers as if there were none.
pub(super) struct DroppedEventId;

impl StreamCheck for DroppedEventId {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let verdict = seen.verdict.as_deref()?;
        let is_lost = ["live", "replay"].contains(&verdict.split(';').next().unwrap_or_default());
        let found = format!("Last-Event-ID does not arrive: the answer to a request with an id is {verdict:?}");
        is_lost.then_some(StreamFinding { kind: FindingKind::LastEventId, found, remedy: REMEDY })
    }
}

const REMEDY: &str =
    "let the request field Last-Event-ID pass through every proxy; without it, each reconnect loses events";
