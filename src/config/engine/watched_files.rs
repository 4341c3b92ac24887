//! The files that a configuration was read from, each in its state just before it was read.
//!
//! `Debug` prints only their number: a path that was meant to name a secret's file may be the secret itself.

use std::fmt;
use std::path::PathBuf;

use crate::runtime::file_watch::{FilePoller, FileStamp};

/// The files that a configuration was read from. A change of any of them calls for a reload.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WatchedFiles(Vec<(PathBuf, Option<FileStamp>)>);

impl WatchedFiles {
    pub(crate) fn add(&mut self, path: PathBuf, stamp: Option<FileStamp>) {
        self.0.push((path, stamp));
    }

    /// Starts watching the files. A change since they were read is reported too.
    pub fn watch(&self) -> FilePoller {
        FilePoller::with_stamps(self.0.iter().cloned())
    }
}

impl FromIterator<(PathBuf, Option<FileStamp>)> for WatchedFiles {
    fn from_iter<T: IntoIterator<Item = (PathBuf, Option<FileStamp>)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

impl fmt::Debug for WatchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.0.len())
    }
}
