//! What is stored of a stream besides its entries: which it is, whose life it is, how far it goes.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use super::codec::{RecordDecoder, RecordEncoder};
use crate::sse::EventId;
use crate::stream::{Seed, StreamKey};

/// What tells stored streams apart: a digest, so that it is short whatever clients ask for, holds nobody's secret and
/// cannot be made to be another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(pub [u8; 32]);

/// The record of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names its segments. Never given twice in one file.
    pub number: u64,
    /// See [`crate::stream::StoredStream`].
    pub seed: Seed,
    /// See [`crate::stream::StoredStream`].
    pub epoch: String,
    /// Entries ever stored, which is where the next segment begins.
    pub end: u64,
    /// Events in the stream's life up to there.
    pub events: u64,
    /// The id in force there, for clients.
    pub id: EventId,
    /// The id in force there, for the upstream.
    pub source_id: EventId,
    /// Whether a client that has `id` has everything up to there: see [`crate::stream::LogSnapshot`].
    pub is_exact: bool,
    /// The upstream's reconnection time, in milliseconds.
    pub retry: Option<u64>,
    /// Whether nothing that was told is missing. Taken back before the stream goes on.
    pub is_whole: bool,
    /// When the upstream had said all; Unix time in milliseconds.
    pub complete_at: Option<u64>,
    /// When it was last opened, written or put away; Unix time in milliseconds.
    pub touched: u64,
    /// How long it is kept after that, in milliseconds.
    pub age: u64,
    /// What its segments take.
    pub bytes: u64,
}

impl StoreKey {
    /// The key of a stream whose events come from there. The key's own fingerprint is left out: it also changes with
    /// how much is kept.
    pub fn of(key: &StreamKey, origin: [u8; 32]) -> Self {
        let mut digest = Context::new(&SHA256);
        let mut add = |value: &[u8]| {
            digest.update(&(value.len() as u64).to_le_bytes());
            digest.update(value);
        };
        add(&origin);
        add(key.route.as_bytes());
        add(key.path.as_bytes());
        for (name, value) in &key.shared {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        Self(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Record {
    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut sheet = RecordEncoder::default();
        sheet.byte(FORMAT).number(self.number).number(self.seed[0]).number(self.seed[1]);
        sheet.bytes(self.epoch.as_bytes()).number(self.end).number(self.events);
        sheet.bytes(self.id.as_str().as_bytes()).bytes(self.source_id.as_str().as_bytes());
        let flags = if self.is_whole { WHOLE } else { 0 } | if self.is_exact { EXACT } else { 0 };
        sheet.optional(self.retry).byte(flags).optional(self.complete_at);
        sheet.number(self.touched).number(self.age).number(self.bytes);
        sheet.finish()
    }

    /// What [`Self::encode`] made. `None`: it is damaged, or of a format that is not known.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reading = RecordDecoder::of(bytes)?;
        if reading.byte()? != FORMAT {
            return None;
        }
        let (number, seed) = (reading.number()?, [reading.number()?, reading.number()?]);
        let epoch = reading.text()?.to_owned();
        let (end, events) = (reading.number()?, reading.number()?);
        let (id, source_id) = (reading.id()?, reading.id()?);
        let (retry, flags) = (reading.optional()?, reading.byte()?);
        let record = Self {
            number,
            seed,
            epoch,
            end,
            events,
            id,
            source_id,
            is_exact: flags & EXACT != 0,
            retry,
            is_whole: flags & WHOLE != 0,
            complete_at: reading.optional()?,
            touched: reading.number()?,
            age: reading.number()?,
            bytes: reading.number()?,
        };
        reading.is_at_end().then_some(record)
    }

    /// Whether the time for which it is kept is over at this date.
    pub fn is_over(&self, wall: u64) -> bool {
        let begun = self.complete_at.unwrap_or(self.touched);
        wall.saturating_sub(begun) > self.age
    }
}

const FORMAT: u8 = 1;
const WHOLE: u8 = 1;
const EXACT: u8 = 2;
