//! The files that a configuration was made of, and how each looked just before it was read.
//!
//! Prints without their names: one that was meant to name a secret's file may be the secret itself.

use std::fmt;
use std::path::PathBuf;

use crate::runtime::file_watch::{FilePoller, FileStamp};

/// See the module.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WatchedFiles(Vec<(PathBuf, Option<FileStamp>)>);

impl WatchedFiles {
    pub(crate) fn add(&mut self, path: PathBuf, stamp: Option<FileStamp>) {
        self.0.push((path, stamp));
    }

    /// Watches them from how they looked then.
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
