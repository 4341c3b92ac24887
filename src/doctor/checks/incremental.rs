//! `Incremental`: the field that asks proxies to pass a response on piece by piece (RFC 10036).

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;

/// Looks for the field in the response.
pub(super) struct Incremental;

impl StreamCheck for Incremental {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let value = seen.head()?.headers.get("incremental");
        // A structured field: a boolean, perhaps with parameters.
        let is_set = value.and_then(|value| value.to_str().ok()).is_some_and(|value| value.trim().starts_with("?1"));
        let found = "the response has no Incremental: ?1, which asks further proxies not to hold it back".to_owned();
        (!is_set).then_some(StreamFinding { kind: FindingKind::Incremental, found, remedy: REMEDY })
    }
}

const REMEDY: &str = "let the response field Incremental pass through every proxy; rillgate sends it unless \
                      delivery.incremental = false";
