//! The database file: a table of streams and a table of their segments, with an index in memory.
//!
//! All changes of one commit are one transaction, so after a crash the file is as before or as intended. Values have a
//! checksum beyond redb's. The index is built from the records when the file is opened, and stays correct because every
//! change goes through it. The number of streams is bounded, however small they are. Does not decide what is stored.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};
use tracing::error;

use super::Settings;
use super::codec::{Record, StoreKey};
use super::folder::{Folder, StoreFault};
use crate::runtime::panics::Panics;

/// The open database.
#[derive(Debug)]
pub(super) struct Db(Database);

/// The tables within a write transaction.
pub(super) struct WriteTxn<'t> {
    streams: Table<'t, &'static [u8; 32], &'static [u8]>,
    segments: Table<'t, (u64, u64), &'static [u8]>,
}

impl Db {
    /// Opens the file, or initializes an empty one. Repairs what a killed process left behind.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn open(file: File) -> Result<Self, StoreFault> {
        let mut builder = Database::builder();
        // A damaged page would make a later reader panic. Finding it now costs reading the file once.
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let db = Self(builder.create_with_backend(FileBackend::new(file)?)?);
        // Creates the tables.
        db.write(|_| Ok(()))?;
        Ok(db)
    }

    /// Calls `visit` with every record.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub(super) fn records(&self, mut visit: impl FnMut(StoreKey, Record)) -> Result<(), StoreFault> {
        let decoder = self.0.begin_read()?;
        for row in decoder.open_table(STREAMS)?.iter()? {
            let (key, bytes) = row?;
            visit(StoreKey(*key.value()), decode_record(bytes.value())?);
        }
        Ok(())
    }

    /// Runs `operation` in a transaction and returns when it is on disk.
    ///
    /// # Errors
    /// See [`StoreFault`]; whether the transaction was committed is then unknown.
    pub(super) fn write<T>(
        &self,
        operation: impl FnOnce(&mut WriteTxn<'_>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let transaction = self.0.begin_write()?;
        let outcome = {
            let mut txn =
                WriteTxn { streams: transaction.open_table(STREAMS)?, segments: transaction.open_table(SEGMENTS)? };
            operation(&mut txn)?
        };
        transaction.commit()?;
        Ok(outcome)
    }
}

impl WriteTxn<'_> {
    /// Returns the record of a stream.
    pub(super) fn record(&self, key: &StoreKey) -> Result<Option<Record>, StoreFault> {
        self.streams.get(&key.0)?.map(|bytes| decode_record(bytes.value())).transpose()
    }

    /// Stores the record of a stream.
    pub(super) fn put_record(&mut self, key: &StoreKey, record: &Record) -> Result<(), StoreFault> {
        self.streams.insert(&key.0, record.encode().as_slice())?;
        Ok(())
    }

    /// Removes a stream and its segments.
    pub(super) fn remove(&mut self, key: &StoreKey, number: u64) -> Result<(), StoreFault> {
        self.streams.remove(&key.0)?;
        self.segments.retain_in(segments_of(number), |_, _| false)?;
        Ok(())
    }

    /// Returns the first entry number and the bytes of each segment of a stream, oldest first.
    pub(super) fn segments(&self, number: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
        let rows = self.segments.range(segments_of(number))?;
        rows.map(|row| row.map(|(key, bytes)| (key.value().1, bytes.value().to_vec())).map_err(StoreFault::from))
            .collect()
    }

    /// Adds a segment.
    pub(super) fn put_segment(&mut self, number: u64, first: u64, bytes: &[u8]) -> Result<(), StoreFault> {
        self.segments.insert((number, first), bytes)?;
        Ok(())
    }

    /// Removes a segment.
    pub(super) fn remove_segment(&mut self, number: u64, first: u64) -> Result<(), StoreFault> {
        self.segments.remove((number, first))?;
        Ok(())
    }
}

fn segments_of(number: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (number, 0)..=(number, u64::MAX)
}

fn decode_record(bytes: &[u8]) -> Result<Record, StoreFault> {
    Record::decode(bytes).ok_or_else(|| StoreFault::Corrupt("the checksum of a record does not match".to_owned()))
}

const STREAMS: TableDefinition<'_, &'static [u8; 32], &'static [u8]> = TableDefinition::new("streams");
const SEGMENTS: TableDefinition<'_, (u64, u64), &'static [u8]> = TableDefinition::new("segments");

/// Cache size in bytes: enough for the inner pages of the trees, because what is written is seldom read.
const CACHE_BYTES: usize = 16 << 20;

/// A usable store: folder, database and index.
#[derive(Debug)]
pub(super) struct OpenStore {
    /// The database.
    pub db: Db,
    /// The index of its streams.
    pub index: StoreIndex,
    folder: Folder,
}

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

impl OpenStore {
    /// Locks the folder and opens the file. A corrupt file is quarantined and a new one created.
    ///
    /// # Errors
    /// See [`StoreFault`]; corrupt only if the new file is corrupt too.
    pub(super) fn open(settings: &Settings, panics: &Panics) -> Result<Self, StoreFault> {
        let folder = Folder::lock(&settings.path)?;
        match Self::open_in(folder, panics) {
            Ok(store) => Ok(store),
            Err((folder, StoreFault::Corrupt(what))) => {
                quarantine(&folder, &what)?;
                Self::open_in(folder, panics).map_err(|(_, fault)| fault)
            }
            Err((_, fault)) => Err(fault),
        }
    }

    fn open_in(folder: Folder, panics: &Panics) -> Result<Self, (Folder, StoreFault)> {
        let opened = catch_panics(panics, || {
            let db = Db::open(folder.file()?)?;
            let mut index = StoreIndex::default();
            db.records(|key, record| index.insert(key, &record))?;
            Ok((db, index))
        });
        match opened {
            Ok((db, index)) => Ok(Self { db, index, folder }),
            Err(fault) => Err((folder, fault)),
        }
    }

    /// Closes the corrupt file and moves it aside.
    ///
    /// # Errors
    /// The file cannot be moved.
    pub(super) fn quarantine(self, what: &str, panics: &Panics) -> Result<PathBuf, StoreFault> {
        let Self { db, folder, .. } = self;
        let _ = catch_panics(panics, || {
            drop(db);
            Ok(())
        });
        quarantine(&folder, what)
    }
}

fn quarantine(folder: &Folder, reason: &str) -> Result<PathBuf, StoreFault> {
    let path = folder.quarantine()?;
    error!(what = reason, kept = %path.display(), "store corrupt: its events are lost, the file is moved aside and a new one is created");
    Ok(path)
}

/// Runs an operation on the file. A file that makes its reader panic counts as corrupt.
///
/// # Errors
/// See [`StoreFault`].
pub(super) fn catch_panics<T>(
    panics: &Panics,
    operation: impl FnOnce() -> Result<T, StoreFault>,
) -> Result<T, StoreFault> {
    let outcome = panics.catch("store", &"using the file", operation);
    outcome.unwrap_or_else(|| Err(StoreFault::Corrupt("reading it failed".to_owned())))
}

impl StoreIndex {
    fn insert(&mut self, key: StoreKey, record: &Record) {
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
