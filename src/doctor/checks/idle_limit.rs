//! An idle limit that is shorter than the time between heartbeats.

use super::StreamCheck;
use crate::doctor::finding::{FindingKind, StreamFinding};
use crate::doctor::observations::Observations;
use crate::doctor::reading::{Reading, seconds};

/// Looks for a response that broke off in a silence.
pub(super) struct IdleLimit;

impl StreamCheck for IdleLimit {
    fn check(&self, seen: &Observations) -> Option<StreamFinding> {
        // A proxy may tell an end late: Envoy closes a connection of HTTP/1.1 a second after the last byte. So a silence says
        // nothing where another response broke off while bytes came.
        if seen.readings().any(|reading| reading.is_cut() && !reading.ends_in_silence()) {
            return None;
        }
        let is_it = |reading: &&Reading| reading.is_cut() && reading.ends_in_silence();
        let reading = seen.readings().find(is_it)?;
        let found = format!("the response was cut off after {} without a byte", seconds(reading.last_silence));
        Some(StreamFinding { kind: FindingKind::IdleLimit, found, remedy: REMEDY })
    }
}

const REMEDY: &str = "raise the proxy's limit for a silent server or client (HAProxy: timeout server, timeout client; \
                      nginx: proxy_read_timeout), or send heartbeats more often (delivery.heartbeat)";
