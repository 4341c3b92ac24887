//! The state shared while one file is read: the problems found and the files referenced.
//!
//! A problem is recorded with its location and does not stop the reading, so all problems are found in one pass. No
//! message quotes a value of the file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::problem::Finding;
use crate::runtime::file_watch::FileStamp;

/// Looks up an environment variable. Tests substitute their own variables.
pub type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// The state shared by all tables and values of one file.
pub(crate) struct Reader<'a> {
    /// The folder that relative paths are resolved against.
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a Environment<'a>,
    problems: RefCell<Vec<Finding>>,
    /// The files referenced so far.
    pub(crate) referenced_files: RefCell<Vec<ReferencedFile>>,
}

/// A file referenced by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferencedFile {
    pub(crate) path: PathBuf,
    /// The state of the file just before it was read. `None`: it did not exist.
    pub(crate) stamp: Option<FileStamp>,
    /// Whether its user watches the file at run time. If not, a change takes effect when the configuration is reloaded.
    pub(crate) is_watched_by_user: bool,
}

/// The location of a value in the file.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// The offset in bytes.
    pub(crate) offset: usize,
    /// The path in problems: `routes[2].auth`.
    pub(crate) key: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(folder: &'a Path, environment: &'a Environment<'a>) -> Self {
        Self { folder, environment, problems: RefCell::default(), referenced_files: RefCell::default() }
    }

    /// Returns the problems found.
    pub(crate) fn finish(&self) -> Vec<Finding> {
        self.problems.take()
    }

    /// Records a problem at `location`.
    pub(crate) fn report(&self, location: &Location, message: impl Into<String>) {
        self.problems.borrow_mut().push(Finding {
            offset: location.offset,
            key: location.key.clone(),
            message: message.into(),
        });
    }
}

impl Location {
    /// Returns the location of the key `name` in this table, quoted if it is not a bare key.
    pub(crate) fn child(&self, offset: usize, name: &str) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let shown = if is_bare { name.to_owned() } else { format!("{name:?}") };
        Self { offset, key: format!("{}{dot}{shown}", self.key) }
    }

    /// Returns the location of an item of this array.
    pub(crate) fn item(&self, offset: usize, index: usize) -> Self {
        Self { offset, key: format!("{}[{index}]", self.key) }
    }
}
