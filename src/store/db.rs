//! The file: one table of streams, one of their segments. All that is written at once is one transaction.
//!
//! After a transaction the file is as it was before or as it is meant to be, whatever happens meanwhile. What comes out
//! has its own checksum beyond redb's. Does not decide what is kept.

use std::fs::File;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};

use super::fault::StoreFault;
use super::record::{Record, StoreKey};

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
        let ledger = Self(builder.create_with_backend(FileBackend::new(file)?)?);
        // So that the tables are there.
        ledger.write(|_| Ok(()))?;
        Ok(ledger)
    }

    /// Shows every record.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn records(&self, mut show: impl FnMut(StoreKey, Record)) -> Result<(), StoreFault> {
        let reading = self.0.begin_read()?;
        for row in reading.open_table(STREAMS)?.iter()? {
            let (key, bytes) = row?;
            show(StoreKey(*key.value()), record(bytes.value())?);
        }
        Ok(())
    }

    /// Does all of `act` or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// See [`StoreFault`]; whether it was done is then not known.
    pub fn write<T>(&self, act: impl FnOnce(&mut WriteTxn<'_>) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let transaction = self.0.begin_write()?;
        let outcome = {
            let mut page =
                WriteTxn { streams: transaction.open_table(STREAMS)?, segments: transaction.open_table(SEGMENTS)? };
            act(&mut page)?
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
        self.segments.retain_in(every(number), |_, _| false)?;
        Ok(())
    }

    /// Where each segment of a stream begins, and its bytes, the oldest first.
    pub fn segments(&self, number: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
        let rows = self.segments.range(every(number))?;
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

fn every(number: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (number, 0)..=(number, u64::MAX)
}

fn record(bytes: &[u8]) -> Result<Record, StoreFault> {
    Record::decode(bytes).ok_or_else(|| StoreFault::Corrupt("a record does not have its checksum".to_owned()))
}

const STREAMS: TableDefinition<'_, &'static [u8; 32], &'static [u8]> = TableDefinition::new("streams");
const SEGMENTS: TableDefinition<'_, (u64, u64), &'static [u8]> = TableDefinition::new("segments");

/// Pages held in memory: enough for the inner pages of the trees, since what is written is seldom read.
const CACHE_BYTES: usize = 16 << 20;
