//! A response that breaks off while bytes come: a limit on the whole response, or a fault.

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;
use crate::doctor::reading::{Ending, Reading, seconds};

/// Looks for a response that broke off without a silence.
pub(super) struct CutWhileActive;

impl StreamCheck for CutWhileActive {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        let is_it = |reading: &&Reading| reading.is_cut() && !reading.ends_in_silence();
        let reading = seen.readings().find(is_it)?;
        let Ending::Broken(reason) = &reading.ending else { return None };
        let elapsed = seconds(reading.elapsed);
        let found = format!("the response was cut off after {elapsed}, although bytes were coming: {reason}");
        Some(StreamFinding { kind: FindingKind::CutOff, found, remedy: REMEDY })
    }
}

const REMEDY: &str = "remove the proxy's limit on the length of a response (Envoy: a route's timeout, 15 s by default); \
                      if it happens once, look at the logs of the proxy and of rillgate";
