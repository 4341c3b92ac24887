//! The index of the stored streams in memory: sizes and ages, the requests that opened them, and what each route has in
//! sum, without events.
//!
//! The index is built from the records when the file is opened, and stays correct because every change goes through it.
//! The number of streams is bounded, however small they are. Does not decide what is stored.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::codec::Record;
use super::db::WriteTxn;
use super::folder::StoreFault;
use crate::stream::{OpeningRequest, StoredRequest, StreamIdentity};

/// The sizes and ages of all stored streams, and the requests that opened them.
#[derive(Debug, Default)]
pub(super) struct StoreIndex {
    streams: HashMap<StreamIdentity, IndexEntry>,
    /// The newest stream of each request.
    requests: HashMap<[u8; 32], StreamIdentity>,
    routes: HashMap<Arc<str>, RouteUsage>,
    bytes: u64,
    last_number: u64,
}

/// The part of the store that the streams of one route take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RouteUsage {
    /// The number of streams.
    pub streams: usize,
    /// The approximate size in bytes.
    pub bytes: u64,
}

/// The index entry of one stream.
#[derive(Clone, Debug)]
struct IndexEntry {
    route: Arc<str>,
    number: u64,
    bytes: u64,
    touched: u64,
    /// The date after which the stream may be removed.
    expires_at: u64,
    /// Whether the upstream has ended the stream.
    is_complete: bool,
    request: Option<Box<OpeningRequest>>,
}

impl StoreIndex {
    /// Adds a stream, or replaces its entry.
    pub(super) fn insert(&mut self, key: StreamIdentity, record: &Record) {
        let bytes = record.bytes + STREAM_COST;
        let expires_at = record.complete_at.unwrap_or(record.touched).saturating_add(record.age);
        // Streams of a route share its name.
        let route = self.routes.get_key_value(&record.route).map_or(&record.route, |(name, _)| name).clone();
        let (number, touched) = (record.number, record.touched);
        let (is_complete, request) = (record.complete_at.is_some(), record.request.map(Box::new));
        let entry = IndexEntry { route: route.clone(), number, bytes, touched, expires_at, is_complete, request };
        self.last_number = self.last_number.max(number);
        if let Some(before) = self.streams.insert(key, entry) {
            self.subtract(&before);
        }
        if let Some(request) = &record.request
            && self.of_request(&request.key).is_none_or(|(_, newest)| newest.number <= number)
        {
            self.requests.insert(request.key, key);
        }
        self.bytes += bytes;
        let usage = self.routes.entry(route).or_default();
        usage.streams += 1;
        usage.bytes += bytes;
    }

    /// Subtracts a removed entry from the sums. The last stream of a route removes the route.
    fn subtract(&mut self, entry: &IndexEntry) {
        self.bytes -= entry.bytes;
        if let Some(usage) = self.routes.get_mut(&entry.route) {
            usage.streams -= 1;
            usage.bytes -= entry.bytes;
            if usage.streams == 0 {
                self.routes.remove(&entry.route);
            }
        }
    }

    /// Stores a record whose segments have `bytes` bytes in total.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn put_record(
        &mut self,
        txn: &mut WriteTxn<'_>,
        key: &StreamIdentity,
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
    pub(super) fn remove(&mut self, txn: &mut WriteTxn<'_>, key: &StreamIdentity) -> Result<(), StoreFault> {
        if let Some(entry) = self.streams.remove(key) {
            self.subtract(&entry);
            if let Some(request) = entry.request.filter(|request| self.requests.get(&request.key) == Some(key)) {
                self.requests.remove(&request.key);
            }
            txn.remove(key, entry.number)?;
        }
        Ok(())
    }

    /// Returns the newest stream that a request with this key opened, unless its retention has passed at this date.
    pub(super) fn find(&self, request: &[u8; 32], wall: u64) -> Option<StoredRequest> {
        let (identity, entry) = self.of_request(request).filter(|(_, entry)| entry.expires_at >= wall)?;
        Some(StoredRequest { request: **entry.request.as_ref()?, identity, is_complete: entry.is_complete })
    }

    fn of_request(&self, request: &[u8; 32]) -> Option<(StreamIdentity, &IndexEntry)> {
        let identity = *self.requests.get(request)?;
        Some((identity, self.streams.get(&identity)?))
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
    pub(super) fn expired(&self, wall: u64, is_open: impl Fn(&StreamIdentity) -> bool) -> Vec<StreamIdentity> {
        let expired = self.streams.iter().filter(|(key, entry)| entry.expires_at < wall && !is_open(key));
        expired.map(|(key, _)| *key).collect()
    }

    /// Returns the usage of each route that has streams.
    pub(super) fn routes(&self) -> &HashMap<Arc<str>, RouteUsage> {
        &self.routes
    }

    /// Returns the streams of each route that are not open, least recently used last.
    pub(super) fn closed_by_route(
        &self,
        is_open: impl Fn(&StreamIdentity) -> bool,
    ) -> HashMap<Arc<str>, Vec<StreamIdentity>> {
        let mut closed: Vec<_> = self.streams.iter().filter(|(key, _)| !is_open(key)).collect();
        closed.sort_unstable_by_key(|(_, entry)| Reverse(entry.touched));
        let mut by_route = HashMap::<_, Vec<_>>::new();
        for (key, entry) in closed {
            by_route.entry(entry.route.clone()).or_default().push(*key);
        }
        by_route
    }
}

/// Approximate size of a stream beyond its segments, in bytes.
const STREAM_COST: u64 = 512;

/// Maximum number of stored streams; keeps the index below about 20 MB, or 40 MB if requests have opened all of them.
const MAX_STREAMS: usize = 100_000;
