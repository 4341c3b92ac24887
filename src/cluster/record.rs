//! A record of a shared log: entries, and where the log stands after them.
//!
//! ```text
//!  ... ◀── prev ── [mark, term 7, node A, entries 40-43] ◀── prev ── [mark, term 8, node B, no entries] ◀── ...
//! ```
//!
//! Each record alone says where the log stands, so old ones may go. A record names the mark of the one before it, so a
//! log that was continued from something else than its reader has is recognized. Decoding never panics and trusts
//! nothing that was not signed with the cluster's key.

use std::time::Duration;

use bytes::Bytes;

use super::engine::LogId;
use super::keys::{ClusterKeys, SignedKind, TAG_BYTES};
use crate::runtime::moment::{Moment, milliseconds};
use crate::stream::{BinaryDecoder, BinaryEncoder, LogSnapshot, MAX_RETRY_AFTER, Seed, decode_segment, encode_segment};

/// The content of a record without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    /// Random, and so unique among all records.
    pub mark: u64,
    /// The mark of the record before it. 0: it is the first of its life.
    pub prev: u64,
    /// Random for each life of the log. Readers of another life cannot continue.
    pub life: u64,
    /// The number of claims in this life so far, from 1.
    pub term: u64,
    /// The owner after this record.
    pub owner: Owner,
    /// The seed of the entries' fingerprints.
    pub seed: Seed,
    /// The epoch of minted ids.
    pub epoch: String,
    /// The number of entries in this life before this record.
    pub first: u64,
    /// The number of its entries.
    pub count: u64,
    /// The upstream's last reconnection time.
    pub retry: Option<Duration>,
    /// True if the upstream has ended the stream.
    pub is_complete: bool,
    /// True if the upstream has ever been connected in this life.
    pub has_been_live: bool,
    /// The Unix time in milliseconds at which it was written.
    pub written: u64,
}

/// The owner of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The gateway with this node id.
    Node(String),
    /// Nobody: the last owner released it.
    Released(ReleaseReason),
}

/// The reason why an owner released a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReleaseReason {
    /// It drains.
    Drain,
    /// Nobody reads the stream there.
    Unused,
    /// The upstream refused the stream.
    Refused {
        /// The encoded refusal.
        refusal: Vec<u8>,
        /// The time for which it is remembered.
        memory: Duration,
    },
    /// The upstream has ended the stream.
    Complete,
    /// The stream has ended before its end, because its request must not be repeated.
    Broken,
    /// A client has stopped the stream.
    Stopped,
    /// The upstream answered with something else than an event stream.
    Answered,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub(super) struct LogRecord {
    /// Its head.
    pub head: RecordHead,
    /// Its entries, with the state before them.
    pub entries: LogSnapshot,
}

/// The reason why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was not signed with the cluster's key.
    #[error("a record was not signed with the cluster's key")]
    Signature,
    /// It has a format of a later version.
    #[error("a record has format {0}, which this version does not know")]
    Format(u8),
    /// It is signed but makes no sense.
    #[error("a record is damaged")]
    Damaged,
}

impl RecordHead {
    /// Encodes the record with these entries and signs it. `head.count` must be their number.
    pub(super) fn encode(&self, keys: &ClusterKeys, log: &LogId, entries: &LogSnapshot, now: Moment) -> Bytes {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(FORMAT).number(self.mark).number(self.prev).number(self.life).number(self.term);
        match &self.owner {
            Owner::Node(node) => encoder.bytes(node.as_bytes()).byte(OWNED),
            Owner::Released(ReleaseReason::Drain) => encoder.bytes(&[]).byte(DRAINED),
            Owner::Released(ReleaseReason::Unused) => encoder.bytes(&[]).byte(UNUSED),
            Owner::Released(ReleaseReason::Refused { refusal, memory }) => {
                encoder.bytes(&[]).byte(REFUSED).bytes(refusal).number(milliseconds(*memory))
            }
            Owner::Released(ReleaseReason::Complete) => encoder.bytes(&[]).byte(COMPLETED),
            Owner::Released(ReleaseReason::Broken) => encoder.bytes(&[]).byte(BROKEN),
            Owner::Released(ReleaseReason::Stopped) => encoder.bytes(&[]).byte(STOPPED),
            Owner::Released(ReleaseReason::Answered) => encoder.bytes(&[]).byte(ANSWERED),
        };
        encoder.number(self.seed[0]).number(self.seed[1]).bytes(self.epoch.as_bytes());
        encoder.number(self.first).number(self.count).optional(self.retry.map(milliseconds));
        let flags = (u8::from(self.is_complete) * COMPLETE) | (u8::from(self.has_been_live) * LIVE);
        encoder.byte(flags).number(self.written).bytes(&encode_segment(entries, now));
        keys.sign(SignedKind::Record, &log.0, encoder.into_bytes()).into()
    }

    /// Returns the number of entries up to the end of this record.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// Returns true if the record may come before `later` in the same claim. False for what its owner wrote after `later`,
    /// unless it changed nothing.
    pub(super) fn may_precede(&self, later: &Self) -> bool {
        let is_news = self.end() > later.first || (self.has_been_live && !later.has_been_live);
        self.epoch == later.epoch && self.node().is_some() && !is_news
    }

    /// Returns the node id of the owner, if there is one.
    pub(super) fn node(&self) -> Option<&str> {
        match &self.owner {
            Owner::Node(node) => Some(node),
            Owner::Released(_) => None,
        }
    }
}

impl ReleaseReason {
    /// Returns the word for the reason.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Unused => "unused",
            Self::Refused { .. } => "refused",
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Stopped => "stopped",
            Self::Answered => "answered",
        }
    }
}

impl LogRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// It is foreign, of a later format, or damaged.
    pub(super) fn decode(keys: &ClusterKeys, log: &LogId, bytes: &[u8], now: Moment) -> Result<Self, RecordError> {
        let message = keys.verify(SignedKind::Record, &log.0, bytes).ok_or(RecordError::Signature)?;
        match message.first() {
            Some(&FORMAT) => decode_message(message, now).ok_or(RecordError::Damaged),
            Some(&format) => Err(RecordError::Format(format)),
            None => Err(RecordError::Damaged),
        }
    }

    /// Returns true if this record continues right after `before`.
    pub(super) fn follows(&self, before: &RecordHead) -> bool {
        let RecordHead { prev, life, term, first, .. } = self.head;
        prev == before.mark && life == before.life && term >= before.term && first == before.end()
    }

    /// Returns the state after this record's entries, without any.
    pub(super) fn state_after(&self) -> LogSnapshot {
        let Some(last) = self.entries.entries.last() else { return self.entries.clone() };
        let events = self.entries.entries.iter().filter(|entry| entry.is_event()).count() as u64;
        LogSnapshot {
            entries: Vec::new(),
            events_before: self.entries.events_before + events,
            id_before: last.id.clone(),
            source_id_before: last.source_id.clone(),
            is_exact: false,
        }
    }
}

fn decode_message(message: &[u8], now: Moment) -> Option<LogRecord> {
    let mut decoder = BinaryDecoder::unchecked(message);
    decoder.byte()?;
    let (mark, prev) = (decoder.number()?, decoder.number()?);
    let (life, term) = (decoder.number()?, decoder.number()?);
    let (owner, reason) = (decoder.text()?, decoder.byte()?);
    let owner = match reason {
        OWNED if !owner.is_empty() => Owner::Node(owner.to_owned()),
        DRAINED => Owner::Released(ReleaseReason::Drain),
        UNUSED => Owner::Released(ReleaseReason::Unused),
        REFUSED => {
            let refusal = decoder.bytes()?.to_owned();
            let memory = Duration::from_millis(decoder.number()?).min(MAX_RETRY_AFTER);
            Owner::Released(ReleaseReason::Refused { refusal, memory })
        }
        COMPLETED => Owner::Released(ReleaseReason::Complete),
        BROKEN => Owner::Released(ReleaseReason::Broken),
        STOPPED => Owner::Released(ReleaseReason::Stopped),
        ANSWERED => Owner::Released(ReleaseReason::Answered),
        _ => return None,
    };
    let seed = [decoder.number()?, decoder.number()?];
    let epoch = decoder.text().filter(|epoch| is_epoch(epoch))?.to_owned();
    let (first, count) = (decoder.number()?, decoder.number()?);
    let retry = decoder.optional()?.map(Duration::from_millis);
    let (flags, written) = (decoder.byte()?, decoder.number()?);
    let entries = decode_segment(decoder.bytes()?, now)?;
    let (is_complete, has_been_live) = (flags & COMPLETE != 0, flags & LIVE != 0);
    let is_whole = decoder.is_at_end() && entries.entries.len() as u64 == count && first.checked_add(count).is_some();
    let head = RecordHead {
        mark,
        prev,
        life,
        term,
        owner,
        seed,
        epoch,
        first,
        count,
        retry,
        is_complete,
        has_been_live,
        written,
    };
    is_whole.then_some(LogRecord { head, entries })
}

/// Returns true for 16 lower-case hexadecimal digits.
fn is_epoch(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The most bytes of a record, unless a single entry needs more. Larger records would hold up the small ones of other
/// streams.
pub(super) const MAX_RECORD: usize = 512 << 10;

/// More than the bytes of a record without its entries: numbers, node id, refusal, epoch, two ids and tag.
pub(super) const HEAD_BYTES: usize = 512 + TAG_BYTES;

/// More than the bytes of an entry besides its frame and ids.
pub(super) const ENTRY_BYTES: usize = 64;

const FORMAT: u8 = 1;
const OWNED: u8 = 0;
const DRAINED: u8 = 1;
const UNUSED: u8 = 2;
const REFUSED: u8 = 3;
const COMPLETED: u8 = 4;
const BROKEN: u8 = 5;
const STOPPED: u8 = 6;
const ANSWERED: u8 = 7;
const COMPLETE: u8 = 1;
const LIVE: u8 = 2;

#[cfg(test)]
mod tests;
