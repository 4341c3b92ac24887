//! Noticing that files have changed, by looking at them now and then.
//!
//! Identity, length and modification time of what a path leads to: so an atomic rename and the symlink swap of a
//! Kubernetes volume are seen, which a watch on the file itself would miss. Does not read the files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to look.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of the file that `path` leads to; none if it is not there.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(Self::from)
    }
}

impl From<Metadata> for FileStamp {
    fn from(found: Metadata) -> Self {
        Self { inode: (found.dev(), found.ino()), size: found.size(), changed: (found.mtime(), found.mtime_nsec()) }
    }
}

/// Some files, and how they looked last.
#[derive(Debug)]
pub struct FilePoller {
    paths: Vec<PathBuf>,
    seen: Vec<Option<FileStamp>>,
}

impl FilePoller {
    /// Files whose first look is in the past: what has changed since then counts as changed at the next one.
    pub fn with_stamps(files: impl IntoIterator<Item = (PathBuf, Option<FileStamp>)>) -> Self {
        let (paths, seen) = files.into_iter().unzip();
        Self { paths, seen }
    }

    /// Looks at the files for the first time.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let seen = paths.iter().map(|path| FileStamp::of(path)).collect();
        Self { paths, seen }
    }

    /// Whether any looks different from last time.
    pub fn poll_changed(&mut self) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| FileStamp::of(path)).collect();
        let has_changed = now != self.seen;
        self.seen = now;
        has_changed
    }
}
