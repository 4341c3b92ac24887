//! Compression that holds events back: a compressor that is not flushed after each piece.
//!
//! Compression itself is no finding, since a compressor that is flushed delays nothing.

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;
use crate::doctor::reading::{Flow, Reading};

/// Compares what came in a content coding with what came without.
pub(super) struct Compression;

impl StreamCheck for Compression {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        if seen.flow(&seen.identity) != Flow::Prompt {
            return None;
        }
        let accepting = || [&seen.browser].into_iter().chain(&seen.http1);
        let held = |reading: &Reading| match seen.flow(reading) {
            Flow::Held(how) => Some(how),
            Flow::Prompt | Flow::Unknown => None,
        };
        let compressed = accepting().find_map(|reading| Some((reading.coding()?, held(reading)?)));
        let found = match compressed {
            Some((coding, how)) => format!("compression ({coding}) holds the response back: {how}"),
            // Nothing of them came, so their coding is not known. That they accept one is the difference.
            None if accepting().all(|reading| held(reading).is_some()) => {
                let how = held(&seen.browser)?;
                format!("where the client accepts compression, something holds the response back: {how}")
            }
            None => return None,
        };
        Some(StreamFinding { kind: FindingKind::Compression, found, remedy: REMEDY })
    }
}

const REMEDY: &str = "exclude text/event-stream from the proxy's compression, or flush after each piece; rillgate \
                      compresses without holding anything back (delivery.compression)";
