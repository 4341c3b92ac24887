//! Reading a spanned TOML document against its declaration: every mistake is found, none stops the reading.
//!
//! A [`Value`] is requested for what its declaration says it is; what was wrong has been noted with its position. No message
//! quotes a value. Does not know what any key is for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::problem::Finding;
use crate::runtime::file_watch::FileStamp;

/// The process's variables, or what a test says they are.
pub type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// What all tables of one file share.
pub(crate) struct Reader<'a> {
    /// The folder that relative paths start from.
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a Environment<'a>,
    problems: RefCell<Vec<Finding>>,
    /// Every file that was read, as it looked just before.
    pub(crate) referenced_files: RefCell<Vec<ReferencedFile>>,
    /// Every key that was requested for, so that a test can compare them with the declared ones.
    pub(crate) requested: RefCell<BTreeSet<String>>,
}

/// A file that the configuration was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferencedFile {
    pub(crate) path: PathBuf,
    /// How it looked just before it was read.
    pub(crate) stamp: Option<FileStamp>,
    /// Whether something else follows its changes while the gateway runs.
    pub(crate) is_followed: bool,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) offset: usize,
    /// As a problem names it: `routes[2].auth`.
    pub(crate) key: String,
    /// As declarations name it: `routes[].auth`.
    pub(crate) declared_path: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(folder: &'a Path, environment: &'a Environment<'a>) -> Self {
        Self {
            folder,
            environment,
            problems: RefCell::default(),
            referenced_files: RefCell::default(),
            requested: RefCell::default(),
        }
    }

    /// Everything found so far, and the keys that were requested for.
    pub(crate) fn finish(&self) -> (Vec<Finding>, BTreeSet<String>) {
        (self.problems.take(), self.requested.take())
    }

    pub(crate) fn report(&self, location: &Location, message: impl Into<String>) {
        self.problems.borrow_mut().push(Finding {
            offset: location.offset,
            key: location.key.clone(),
            message: message.into(),
        });
    }
}

impl Location {
    pub(crate) fn child(&self, offset: usize, name: &str, declared_path: &str) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let shown = if is_bare { name.to_owned() } else { format!("{name:?}") };
        Self {
            offset,
            key: format!("{}{dot}{shown}", self.key),
            declared_path: format!("{}{dot}{declared_path}", self.declared_path),
        }
    }

    pub(crate) fn item(&self, offset: usize, index: usize) -> Self {
        Self { offset, key: format!("{}[{index}]", self.key), declared_path: format!("{}[]", self.declared_path) }
    }
}
