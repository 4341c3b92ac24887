//! The binary form of the record of a stream.
//!
//! A record that is damaged, or of a later format, is never taken for another one.

use std::sync::Arc;

use crate::sse::EventId;
use crate::stream::{BinaryDecoder, BinaryEncoder, OpeningRequest, Seed};

/// The record of one stream: its incarnation, and how far its log is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Identifies the stream's segments. Unique within the file.
    pub number: u64,
    /// See [`crate::stream::StoredStream`].
    pub seed: Seed,
    /// See [`crate::stream::StoredStream`].
    pub epoch: String,
    /// Number of entries ever stored; the number of the next segment's first entry.
    pub end: u64,
    /// Number of events in the stream's life up to `end`.
    pub events: u64,
    /// The last event id at `end`, for clients.
    pub id: EventId,
    /// The last event id at `end`, for the upstream.
    pub source_id: EventId,
    /// Whether a client that has `id` has everything up to `end`; see [`crate::stream::LogSnapshot`].
    pub is_exact: bool,
    /// The upstream's reconnection time in milliseconds.
    pub retry: Option<u64>,
    /// Whether the stream was shut down cleanly, so that everything sent to clients is stored. Cleared before the
    /// stream continues.
    pub is_clean: bool,
    /// The time at which the upstream completed the stream; Unix time in milliseconds.
    pub complete_at: Option<u64>,
    /// True if a client stopped the stream before its end.
    pub is_stopped: bool,
    /// The time at which the stream was last opened, written or closed; Unix time in milliseconds.
    pub touched: u64,
    /// Retention after `touched` in milliseconds.
    pub age: u64,
    /// Size of the segments in bytes.
    pub bytes: u64,
    /// The route's name. Empty in a record of the first format, which did not have it.
    pub route: Arc<str>,
    /// The request that opened the stream, if it was one by which the stream is found again.
    pub request: Option<OpeningRequest>,
}

impl Record {
    /// Encodes the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(RECORD_FORMAT).number(self.number).number(self.seed[0]).number(self.seed[1]);
        encoder.bytes(self.epoch.as_bytes()).number(self.end).number(self.events);
        encoder.bytes(self.id.as_str().as_bytes()).bytes(self.source_id.as_str().as_bytes());
        let flags = [(self.is_clean, CLEAN), (self.is_exact, EXACT), (self.is_stopped, STOPPED)];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        encoder.optional(self.retry).byte(flags).optional(self.complete_at);
        encoder.number(self.touched).number(self.age).number(self.bytes).bytes(self.route.as_bytes());
        encoder.byte(u8::from(self.request.is_some()));
        if let Some(OpeningRequest { key, salt, body }) = &self.request {
            encoder.bytes(key).bytes(salt).bytes(body);
        }
        encoder.finish()
    }

    /// Decodes a record. `None`: it is damaged or has an unknown format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = BinaryDecoder::of(bytes)?;
        let format = decoder.byte()?;
        if ![ROUTELESS_RECORD_FORMAT, REQUESTLESS_RECORD_FORMAT, RECORD_FORMAT].contains(&format) {
            return None;
        }
        let (number, seed) = (decoder.number()?, [decoder.number()?, decoder.number()?]);
        let epoch = decoder.text()?.to_owned();
        let (end, events) = (decoder.number()?, decoder.number()?);
        let (id, source_id) = (decoder.id()?, decoder.id()?);
        let (retry, flags) = (decoder.optional()?, decoder.byte()?);
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
            is_clean: flags & CLEAN != 0,
            complete_at: decoder.optional()?,
            is_stopped: flags & STOPPED != 0,
            touched: decoder.number()?,
            age: decoder.number()?,
            bytes: decoder.number()?,
            route: if format == ROUTELESS_RECORD_FORMAT { Arc::default() } else { decoder.text()?.into() },
            request: if format == RECORD_FORMAT { decode_request(&mut decoder)? } else { None },
        };
        decoder.is_at_end().then_some(record)
    }

    /// Whether the record's retention has passed at this date.
    pub(super) fn is_expired(&self, wall: u64) -> bool {
        let begun = self.complete_at.unwrap_or(self.touched);
        wall.saturating_sub(begun) > self.age
    }
}

/// Returns `None` if it is damaged.
fn decode_request(decoder: &mut BinaryDecoder<'_>) -> Option<Option<OpeningRequest>> {
    if decoder.byte()? == 0 {
        return Some(None);
    }
    let (key, salt, body) = (decoder.bytes()?, decoder.bytes()?, decoder.bytes()?);
    Some(Some(OpeningRequest { key: key.try_into().ok()?, salt: salt.try_into().ok()?, body: body.try_into().ok()? }))
}

const RECORD_FORMAT: u8 = 3;
/// The same format without the request. It is read, and not written any more.
const REQUESTLESS_RECORD_FORMAT: u8 = 2;
/// The same format without the request and the route. It is read, and not written any more.
const ROUTELESS_RECORD_FORMAT: u8 = 1;
const CLEAN: u8 = 1;
const EXACT: u8 = 2;
/// Earlier versions neither write nor read it.
const STOPPED: u8 = 4;

#[cfg(test)]
mod tests;
