//! Detection of changed files by polling.
//!
//! Compares device, inode, length and modification time of the file that a path leads to. This detects an atomic rename
//! and the symlink swap of a Kubernetes volume, which a watch on the file itself would miss. Does not read the files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time between two polls.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The metadata that tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl FileStamp {
    /// Returns the stamp of the file that `path` leads to, or `None` if there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(Self::from)
    }
}

impl From<Metadata> for FileStamp {
    fn from(found: Metadata) -> Self {
        Self { inode: (found.dev(), found.ino()), size: found.size(), changed: (found.mtime(), found.mtime_nsec()) }
    }
}

/// Some files and their stamps at the last poll.
#[derive(Debug)]
pub struct FilePoller {
    paths: Vec<PathBuf>,
    seen: Vec<Option<FileStamp>>,
}

impl FilePoller {
    /// Starts from stamps taken earlier. A change since then is reported by the next poll.
    pub fn with_stamps(files: impl IntoIterator<Item = (PathBuf, Option<FileStamp>)>) -> Self {
        let (paths, seen) = files.into_iter().unzip();
        Self { paths, seen }
    }

    /// Starts from the files as they are now.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let seen = paths.iter().map(|path| FileStamp::of(path)).collect();
        Self { paths, seen }
    }

    /// Returns whether any file has changed since the last poll.
    pub fn poll_changed(&mut self) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| FileStamp::of(path)).collect();
        let has_changed = now != self.seen;
        self.seen = now;
        has_changed
    }
}
