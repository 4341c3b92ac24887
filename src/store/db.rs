//! The file: one table of streams, one of their segments. All that is written at once is one transaction.
//!
//! After a transaction the file is as it was before or as it is meant to be, whatever happens meanwhile. What comes out
//! has its own checksum beyond redb's. Does not decide what is kept.

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

/// The open file.
#[derive(Debug)]
pub struct Db(Database);

/// The tables within a transaction.
pub struct WriteTxn<'t> {
    streams: Table<'t, &'static [u8; 32], &'static [u8]>,
    segments: Table<'t, (u64, u64), &'static [u8]>,
}

impl Db {
    /// Opens the file, or makes it of an empty one. Repairs what a killed process left.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn open(file: File) -> Result<Self, StoreFault> {
        let mut builder = Database::builder();
        // A page that was damaged makes later readers panic: better found now, for the price of reading the file once.
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let db = Self(builder.create_with_backend(FileBackend::new(file)?)?);
        // So that the tables are there.
        db.write(|_| Ok(()))?;
        Ok(db)
    }

    /// Shows every record.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn records(&self, mut visit: impl FnMut(StoreKey, Record)) -> Result<(), StoreFault> {
        let decoder = self.0.begin_read()?;
        for row in decoder.open_table(STREAMS)?.iter()? {
            let (key, bytes) = row?;
            visit(StoreKey(*key.value()), record(bytes.value())?);
        }
        Ok(())
    }

    /// Does all of `act` or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// See [`StoreFault`]; whether it was done is then not known.
    pub fn write<T>(
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
    /// The record of a stream.
    pub fn record(&self, key: &StoreKey) -> Result<Option<Record>, StoreFault> {
        self.streams.get(&key.0)?.map(|bytes| record(bytes.value())).transpose()
    }

    /// Puts a stream's record in place.
    pub fn put_record(&mut self, key: &StoreKey, record: &Record) -> Result<(), StoreFault> {
        self.streams.insert(&key.0, record.encode().as_slice())?;
        Ok(())
    }

    /// Forgets a stream and its segments.
    pub fn remove(&mut self, key: &StoreKey, number: u64) -> Result<(), StoreFault> {
        self.streams.remove(&key.0)?;
        self.segments.retain_in(segments_of(number), |_, _| false)?;
        Ok(())
    }

    /// Where each segment of a stream begins, and its bytes, the oldest first.
    pub fn segments(&self, number: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
        let rows = self.segments.range(segments_of(number))?;
        rows.map(|row| row.map(|(key, bytes)| (key.value().1, bytes.value().to_vec())).map_err(StoreFault::from))
            .collect()
    }

    /// Adds a segment.
    pub fn put_segment(&mut self, number: u64, first: u64, bytes: &[u8]) -> Result<(), StoreFault> {
        self.segments.insert((number, first), bytes)?;
        Ok(())
    }

    /// Forgets a segment.
    pub fn remove_segment(&mut self, number: u64, first: u64) -> Result<(), StoreFault> {
        self.segments.remove((number, first))?;
        Ok(())
    }
}

fn segments_of(number: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (number, 0)..=(number, u64::MAX)
}

fn record(bytes: &[u8]) -> Result<Record, StoreFault> {
    Record::decode(bytes).ok_or_else(|| StoreFault::Corrupt("a record does not have its checksum".to_owned()))
}

const STREAMS: TableDefinition<'_, &'static [u8; 32], &'static [u8]> = TableDefinition::new("streams");
const SEGMENTS: TableDefinition<'_, (u64, u64), &'static [u8]> = TableDefinition::new("segments");

/// Pages held in memory: enough for the inner pages of the trees, since what is written is seldom read.
const CACHE_BYTES: usize = 16 << 20;

/// A store that can be used.
#[derive(Debug)]
pub struct OpenStore {
    /// The file.
    pub db: Db,
    /// What is in it.
    pub index: StoreIndex,
    folder: Folder,
}

/// What is in the file, in numbers.
#[derive(Debug, Default)]
pub struct StoreIndex {
    streams: HashMap<StoreKey, IndexEntry>,
    bytes: u64,
    last_number: u64,
}

/// One stored stream in the books.
#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    number: u64,
    bytes: u64,
    touched: u64,
    /// From when on it need not be kept.
    expires_at: u64,
}

impl OpenStore {
    /// Takes the folder and opens the file. A file that cannot be believed is set aside and another begun.
    ///
    /// # Errors
    /// See [`StoreFault`]; never that it is corrupt, unless the new one is as well.
    pub fn open(settings: &Settings, panics: &Panics) -> Result<Self, StoreFault> {
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

    /// Closes the file and sets it aside, since it cannot be believed.
    ///
    /// # Errors
    /// What the system says.
    pub fn quarantine(self, what: &str, panics: &Panics) -> Result<PathBuf, StoreFault> {
        let Self { db, folder, .. } = self;
        let _ = catch_panics(panics, || {
            drop(db);
            Ok(())
        });
        quarantine(&folder, what)
    }
}

fn quarantine(folder: &Folder, what: &str) -> Result<PathBuf, StoreFault> {
    let kept = folder.quarantine()?;
    error!(what, kept = %kept.display(), "store corrupt: what was stored is lost, the file is kept aside and another begun");
    Ok(kept)
}

/// Does what touches the file; a file that makes its reader panic is corrupt.
///
/// # Errors
/// See [`StoreFault`].
pub fn catch_panics<T>(panics: &Panics, operation: impl FnOnce() -> Result<T, StoreFault>) -> Result<T, StoreFault> {
    let outcome = panics.catch("store", &"using the file", operation);
    outcome.unwrap_or_else(|| Err(StoreFault::Corrupt("its reader failed".to_owned())))
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

    /// Puts a record in place whose segments are so large together.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn put_record(
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

    /// Forgets a stream, if it is there.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn remove(&mut self, txn: &mut WriteTxn<'_>, key: &StoreKey) -> Result<(), StoreFault> {
        if let Some(entry) = self.streams.remove(key) {
            self.bytes -= entry.bytes;
            txn.remove(key, entry.number)?;
        }
        Ok(())
    }

    /// A number for a stream's segments.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Bytes in the file, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Streams in the file.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether there are more streams than may be.
    pub fn has_too_many(&self) -> bool {
        self.streams.len() > MAX_STREAMS
    }

    /// The streams whose time is over at this date, of those that are not `open`.
    pub fn expired(&self, wall: u64, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let expires_at = self.streams.iter().filter(|(key, entry)| entry.expires_at < wall && !is_open(key));
        expires_at.map(|(key, _)| *key).collect()
    }

    /// The streams that are not `open`, longest untouched first.
    pub fn closed_oldest_first(&self, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let mut closed: Vec<_> = self.streams.iter().filter(|(key, _)| !is_open(key)).collect();
        closed.sort_unstable_by_key(|(_, entry)| entry.touched);
        closed.into_iter().map(|(key, _)| *key).collect()
    }
}

/// What a stream costs beyond its segments, about.
const STREAM_COST: u64 = 512;

/// Most streams in a store, so that its books stay below some 20 MB.
const MAX_STREAMS: usize = 100_000;
