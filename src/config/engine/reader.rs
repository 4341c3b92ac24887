//! Reading a spanned TOML document against its declaration: every mistake is found, none stops the reading.
//!
//! A [`Value`] is asked for what its declaration says it is; what was wrong has been noted with its position. No message
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
    pub(crate) read: RefCell<Vec<ReferencedFile>>,
    /// Every key that was asked for, so that a test can compare them with the declared ones.
    pub(crate) asked: RefCell<BTreeSet<String>>,
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
    pub(crate) at: usize,
    /// As a problem names it: `routes[2].auth`.
    pub(crate) key: String,
    /// As declarations name it: `routes[].auth`.
    pub(crate) pattern: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(folder: &'a Path, environment: &'a Environment<'a>) -> Self {
        Self { folder, environment, problems: RefCell::default(), read: RefCell::default(), asked: RefCell::default() }
    }

    /// Everything found so far, and the keys that were asked for.
    pub(crate) fn finish(&self) -> (Vec<Finding>, BTreeSet<String>) {
        (self.problems.take(), self.asked.take())
    }

    pub(crate) fn note(&self, place: &Location, message: impl Into<String>) {
        self.problems.borrow_mut().push(Finding { at: place.at, key: place.key.clone(), message: message.into() });
    }
}

impl Location {
    pub(crate) fn child(&self, at: usize, name: &str, pattern: &str) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let shown = if is_bare { name.to_owned() } else { format!("{name:?}") };
        Self { at, key: format!("{}{dot}{shown}", self.key), pattern: format!("{}{dot}{pattern}", self.pattern) }
    }

    pub(crate) fn item(&self, at: usize, index: usize) -> Self {
        Self { at, key: format!("{}[{index}]", self.key), pattern: format!("{}[]", self.pattern) }
    }
}
