//! The checks: each looks at the observations for one kind of finding.
//!
//! A check speaks only where an observation cannot have another reason that is as good. It has no access to the network.

mod buffering;
mod certificate;
mod compression;
mod cors;
mod cut_off;
mod http1_only;
mod idle_limit;
mod incremental;
mod last_event_id;

use super::finding::StreamFinding;
use super::observations::Observations;

/// Looks for one kind of finding.
trait StreamCheck {
    /// Returns the finding, if there is one.
    fn check(&self, seen: &Observations) -> Option<StreamFinding>;
}

/// Returns all findings, the most harmful first.
pub(super) fn run(seen: &Observations) -> Vec<StreamFinding> {
    let checks: [&dyn StreamCheck; 9] = [
        &buffering::Buffering,
        &compression::Compression,
        &idle_limit::IdleLimit,
        &cut_off::CutWhileActive,
        &last_event_id::DroppedEventId,
        &cors::CrossOrigin,
        &certificate::CertificateEnd,
        &http1_only::Http1Only,
        &incremental::Incremental,
    ];
    checks.iter().filter_map(|check| check.check(seen)).collect()
}
