//! Buffering: something collects the response and passes it on in larger pieces, or at its end.

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;
use crate::doctor::reading::{Flow, Reading};

/// Compares what came with what a server sends at once, and the versions of HTTP with each other.
pub(super) struct Buffering;

impl StreamCheck for Buffering {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let found = match seen.flow(&seen.identity) {
            Flow::Held(how) if seen.identity.head.is_none() && seen.answers_head => {
                format!("something holds the response back: {how}, while a HEAD request was answered")
            }
            Flow::Held(how) => format!("something holds the response back: {how}"),
            Flow::Prompt => in_one_version(seen)?,
            Flow::Unknown => return None,
        };
        Some(StreamFinding { kind: FindingKind::Buffering, found, remedy: REMEDY })
    }
}

/// Finds what is held back in one version of HTTP and not in the other.
fn in_one_version(seen: &Observations) -> Option<String> {
    let http1 = seen.http1.as_ref()?;
    let describe = |reading: &Reading, version| match (seen.flow(reading), reading.coding()) {
        (Flow::Held(how), None) => Some(format!("something holds the response back over {version} only: {how}")),
        _ => None,
    };
    match (describe(&seen.browser, "HTTP/2"), describe(http1, "HTTP/1.1")) {
        (Some(_), Some(_)) => None,
        (browser, http1) => browser.or(http1),
    }
}

const REMEDY: &str = "turn buffering of responses off in the proxy (nginx: proxy_buffering off)";
