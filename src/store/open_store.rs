//! The store in use: the locked folder, the database file in it, and the index of the file.
//!
//! A corrupt file is moved aside, and a new one is made in its place.

use std::path::PathBuf;

use tracing::error;

use super::Settings;
use super::db::{Db, catch_panics};
use super::folder::{Folder, StoreFault};
use super::index::StoreIndex;
use crate::runtime::panics::Panics;

/// A usable store: folder, database and index.
#[derive(Debug)]
pub(super) struct OpenStore {
    /// The database.
    pub db: Db,
    /// The index of its streams.
    pub index: StoreIndex,
    folder: Folder,
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
