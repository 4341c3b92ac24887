//! Breaks of continuity: those that an upstream rillgate states, and the entries that tell clients.

use std::time::Instant;

use super::{AcceptedItems, ReconnectDedup, ReplayState};
use crate::sse::{Encoder, EventId, Frame};
use crate::stream::log::{Entry, EntryKind, EventLog, Gap, ResumeVerdict};

impl ReconnectDedup {
    /// Accepts the verdict of an upstream that is itself a rillgate.
    pub(super) fn accept_verdict(&mut self, verdict: &str, log: &EventLog, now: Instant, accepted: &mut AcceptedItems) {
        // The gaps of repeated events were reported when they first arrived.
        let is_repeating = matches!(self.replay, ReplayState::Repeating(next) if log.next_event(next).is_some());
        if let Some(gap) = verdict.strip_prefix("gap") {
            let gap = gap.strip_prefix(";reason=").and_then(Gap::from_reason).unwrap_or(Gap::Upstream);
            match self.replay {
                // The next event may repeat the log and so prove that this gap was reported before.
                ReplayState::Expected => self.stated_gap = Some(gap),
                ReplayState::Repeating(_) if is_repeating => {}
                // An upstream that has nothing new repeats the gaps after its newest event at each connection.
                ReplayState::Repeating(_) | ReplayState::None
                    if self.known_gaps.pop_if(|known| *known == gap).is_some() => {}
                ReplayState::Repeating(_) | ReplayState::None => {
                    self.replay = ReplayState::None;
                    self.known_gaps.clear();
                    self.add_gap(gap, now, accepted);
                }
            }
        } else if verdict.starts_with("resumed") && self.replay == ReplayState::Expected && self.overlap.is_none() {
            self.replay = ReplayState::None;
        }
    }

    /// Returns the gap to publish before the first event, for when an earlier attempt may have lost events.
    pub(in crate::stream::feed) fn initial_gap(&self, now: Instant) -> Entry {
        self.gap_entry(Gap::Upstream, now)
    }

    pub(super) fn add_gap(&self, gap: Gap, now: Instant, accepted: &mut AcceptedItems) {
        accepted.gaps.push(gap);
        accepted.entries.push(self.gap_entry(gap, now));
    }

    /// Replaces entries with more than `most` bytes, ids included, by gaps: the log cannot take them.
    pub(in crate::stream::feed) fn leave_out_larger(&self, most: usize, accepted: &mut AcceptedItems) {
        for entry in &mut accepted.entries {
            if entry.frame.len() + entry.id.as_str().len() + entry.source_id.as_str().len() <= most {
                continue;
            }
            let frame = self.gap_frame(Gap::TooLarge, &entry.id);
            (entry.frame, entry.kind) = (frame, EntryKind::Gap(Gap::TooLarge));
            accepted.gaps.push(Gap::TooLarge);
            accepted.oversized.push(Some(entry.source_id.clone()));
        }
    }

    /// Returns the entry of a gap. If the route reports nothing in-band, its frame is an empty comment, so that the log
    /// still records the gap.
    fn gap_entry(&self, gap: Gap, now: Instant) -> Entry {
        let frame = self.gap_frame(gap, &self.shown_id);
        Entry { kind: EntryKind::Gap(gap), ..self.control_entry(frame, now) }
    }

    fn gap_frame(&self, gap: Gap, id: &EventId) -> Frame {
        (self.gap_notice)(ResumeVerdict::Gap(gap), id).unwrap_or_else(|| {
            let mut encoder = Encoder::new();
            encoder.comment("");
            encoder.finish()
        })
    }
}
