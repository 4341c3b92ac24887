//! The database file: a table of streams and a table of their segments.
//!
//! All changes of one commit are one transaction, so after a crash the file is as before or as intended. Values have a
//! checksum beyond redb's. Does not decide what is stored.

use std::fs::File;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};

use super::codec::Record;
use super::folder::StoreFault;
use crate::runtime::panics::Panics;
use crate::stream::StreamIdentity;

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
    pub(super) fn records(&self, mut visit: impl FnMut(StreamIdentity, Record)) -> Result<(), StoreFault> {
        let decoder = self.0.begin_read()?;
        for row in decoder.open_table(STREAMS)?.iter()? {
            let (key, bytes) = row?;
            visit(StreamIdentity(*key.value()), decode_record(bytes.value())?);
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
    pub(super) fn record(&self, key: &StreamIdentity) -> Result<Option<Record>, StoreFault> {
        self.streams.get(&key.0)?.map(|bytes| decode_record(bytes.value())).transpose()
    }

    /// Stores the record of a stream.
    pub(super) fn put_record(&mut self, key: &StreamIdentity, record: &Record) -> Result<(), StoreFault> {
        self.streams.insert(&key.0, record.encode().as_slice())?;
        Ok(())
    }

    /// Removes a stream and its segments.
    pub(super) fn remove(&mut self, key: &StreamIdentity, number: u64) -> Result<(), StoreFault> {
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
