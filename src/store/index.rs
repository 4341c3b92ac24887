//! The index of the stored streams in memory: sizes and ages, without their events.
//!
//! The index is built from the records when the file is opened, and stays correct because every change goes through it.
//! The number of streams is bounded, however small they are. Does not decide what is stored.

use std::collections::HashMap;

use super::codec::{Record, StoreKey};
use super::db::WriteTxn;
use super::folder::StoreFault;

/// The sizes and ages of all stored streams.
#[derive(Debug, Default)]
pub(super) struct StoreIndex {
    streams: HashMap<StoreKey, IndexEntry>,
    bytes: u64,
    last_number: u64,
}

/// The index entry of one stream.
#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    number: u64,
    bytes: u64,
    touched: u64,
    /// The date after which the stream may be removed.
    expires_at: u64,
}

impl StoreIndex {
    /// Adds a stream, or replaces its entry.
    pub(super) fn insert(&mut self, key: StoreKey, record: &Record) {
        let bytes = record.bytes + STREAM_COST;
        let expires_at = record.complete_at.unwrap_or(record.touched).saturating_add(record.age);
        let entry = IndexEntry { number: record.number, bytes, touched: record.touched, expires_at };
        self.last_number = self.last_number.max(record.number);
        self.bytes += bytes;
        if let Some(before) = self.streams.insert(key, entry) {
            self.bytes -= before.bytes;
        }
    }

    /// Stores a record whose segments have `bytes` bytes in total.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn put_record(
        &mut self,
        txn: &mut WriteTxn<'_>,
        key: &StoreKey,
        record: &Record,
        bytes: u64,
    ) -> Result<(), StoreFault> {
        let record = Record { bytes, ..record.clone() };
        txn.put_record(key, &record)?;
        self.insert(*key, &record);
        Ok(())
    }

    /// Removes a stream if it is stored.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn remove(&mut self, txn: &mut WriteTxn<'_>, key: &StoreKey) -> Result<(), StoreFault> {
        if let Some(entry) = self.streams.remove(key) {
            self.bytes -= entry.bytes;
            txn.remove(key, entry.number)?;
        }
        Ok(())
    }

    /// Returns an unused number for a stream's segments.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Returns the approximate size of all streams in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of stored streams.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether the number of streams exceeds its bound.
    pub(super) fn has_too_many(&self) -> bool {
        self.streams.len() > MAX_STREAMS
    }

    /// Returns the streams that are not open and whose retention has passed at this date.
    pub(super) fn expired(&self, wall: u64, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let expired = self.streams.iter().filter(|(key, entry)| entry.expires_at < wall && !is_open(key));
        expired.map(|(key, _)| *key).collect()
    }

    /// Returns the streams that are not open, least recently used first.
    pub(super) fn closed_oldest_first(&self, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let mut closed: Vec<_> = self.streams.iter().filter(|(key, _)| !is_open(key)).collect();
        closed.sort_unstable_by_key(|(_, entry)| entry.touched);
        closed.into_iter().map(|(key, _)| *key).collect()
    }
}

/// Approximate size of a stream beyond its segments, in bytes.
const STREAM_COST: u64 = 512;

/// Maximum number of stored streams; keeps the index below about 20 MB.
const MAX_STREAMS: usize = 100_000;
