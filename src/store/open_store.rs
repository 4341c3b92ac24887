//! The open store: folder, file, and the books on how much is in it.
//!
//! The books are made from the records when the file is opened, and are right for as long as every change of the file goes
//! through them. They are bounded: so many streams, however small.

use std::collections::HashMap;
use std::path::PathBuf;

use tracing::error;

use super::Settings;
use super::db::{Db, WriteTxn};
use super::fault::StoreFault;
use super::folder::Folder;
use super::record::{Record, StoreKey};
use crate::runtime::panics::Panics;

/// A store that can be used.
#[derive(Debug)]
pub struct OpenStore {
    /// The file.
    pub ledger: Db,
    /// What is in it.
    pub books: StoreIndex,
    folder: Folder,
}

/// What is in the file, in numbers.
#[derive(Debug, Default)]
pub struct StoreIndex {
    streams: HashMap<StoreKey, Line>,
    bytes: u64,
    last_number: u64,
}

/// One stored stream in the books.
#[derive(Clone, Copy, Debug)]
struct Line {
    number: u64,
    bytes: u64,
    touched: u64,
    /// From when on it need not be kept.
    over: u64,
}

impl OpenStore {
    /// Takes the folder and opens the file. A file that cannot be believed is set aside and another begun.
    ///
    /// # Errors
    /// See [`StoreFault`]; never that it is corrupt, unless the new one is as well.
    pub fn open(settings: &Settings, panics: &Panics) -> Result<Self, StoreFault> {
        let folder = Folder::take(&settings.path)?;
        match Self::within(folder, panics) {
            Ok(shelf) => Ok(shelf),
            Err((folder, StoreFault::Corrupt(what))) => {
                set_aside(&folder, &what)?;
                Self::within(folder, panics).map_err(|(_, fault)| fault)
            }
            Err((_, fault)) => Err(fault),
        }
    }

    fn within(folder: Folder, panics: &Panics) -> Result<Self, (Folder, StoreFault)> {
        let opened = guarded(panics, || {
            let ledger = Db::open(folder.file()?)?;
            let mut books = StoreIndex::default();
            ledger.records(|key, record| books.note(key, &record))?;
            Ok((ledger, books))
        });
        match opened {
            Ok((ledger, books)) => Ok(Self { ledger, books, folder }),
            Err(fault) => Err((folder, fault)),
        }
    }

    /// Closes the file and sets it aside, since it cannot be believed.
    ///
    /// # Errors
    /// What the system says.
    pub fn condemn(self, what: &str, panics: &Panics) -> Result<PathBuf, StoreFault> {
        let Self { ledger, folder, .. } = self;
        let _ = guarded(panics, || {
            drop(ledger);
            Ok(())
        });
        set_aside(&folder, what)
    }
}

fn set_aside(folder: &Folder, what: &str) -> Result<PathBuf, StoreFault> {
    let kept = folder.set_aside()?;
    error!(what, kept = %kept.display(), "store corrupt: what was stored is lost, the file is kept aside and another begun");
    Ok(kept)
}

/// Does what touches the file; a file that makes its reader panic is corrupt.
///
/// # Errors
/// See [`StoreFault`].
pub fn guarded<T>(panics: &Panics, act: impl FnOnce() -> Result<T, StoreFault>) -> Result<T, StoreFault> {
    let outcome = panics.catch("store", &"using the file", act);
    outcome.unwrap_or_else(|| Err(StoreFault::Corrupt("its reader failed".to_owned())))
}

impl StoreIndex {
    fn note(&mut self, key: StoreKey, record: &Record) {
        let bytes = record.bytes + STREAM_COST;
        let over = record.complete_at.unwrap_or(record.touched).saturating_add(record.age);
        let line = Line { number: record.number, bytes, touched: record.touched, over };
        self.last_number = self.last_number.max(record.number);
        self.bytes += bytes;
        if let Some(before) = self.streams.insert(key, line) {
            self.bytes -= before.bytes;
        }
    }

    /// Puts a record in place whose segments are so large together.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn put(
        &mut self,
        page: &mut WriteTxn<'_>,
        key: &StoreKey,
        record: &Record,
        bytes: u64,
    ) -> Result<(), StoreFault> {
        let record = Record { bytes, ..record.clone() };
        page.put_record(key, &record)?;
        self.note(*key, &record);
        Ok(())
    }

    /// Forgets a stream, if it is there.
    ///
    /// # Errors
    /// See [`StoreFault`].
    pub fn forget(&mut self, page: &mut WriteTxn<'_>, key: &StoreKey) -> Result<(), StoreFault> {
        if let Some(line) = self.streams.remove(key) {
            self.bytes -= line.bytes;
            page.remove(key, line.number)?;
        }
        Ok(())
    }

    /// A number for a stream's segments.
    pub fn number(&mut self) -> u64 {
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
        self.streams.len() > MOST_STREAMS
    }

    /// The streams whose time is over at this date, of those that are not `open`.
    pub fn over(&self, wall: u64, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let over = self.streams.iter().filter(|(key, line)| line.over < wall && !is_open(key));
        over.map(|(key, _)| *key).collect()
    }

    /// The streams that are not `open`, longest untouched first.
    pub fn untouched(&self, is_open: impl Fn(&StoreKey) -> bool) -> Vec<StoreKey> {
        let mut closed: Vec<_> = self.streams.iter().filter(|(key, _)| !is_open(key)).collect();
        closed.sort_unstable_by_key(|(_, line)| line.touched);
        closed.into_iter().map(|(key, _)| *key).collect()
    }
}

/// What a stream costs beyond its segments, about.
const STREAM_COST: u64 = 512;

/// Most streams in a store, so that its books stay below some 20 MB.
const MOST_STREAMS: usize = 100_000;
