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

/// Detects that a file has changed and has settled: two polls in a row found the same. A file that is rewritten in place
/// is so not read while it is empty or half-written, unless its writer pauses for longer than a poll's interval.
#[derive(Debug)]
pub struct SettledFile {
    /// The stamp of the contents in use.
    used: Option<FileStamp>,
    /// The stamp at the last poll.
    last: Option<FileStamp>,
}

impl SettledFile {
    /// Starts from the stamp of the contents in use; `None` if none are in use.
    pub fn new(used: Option<FileStamp>) -> Self {
        Self { used, last: used }
    }

    /// Returns whether the file has changed and should be read. A missing file has no stamp and settles too. Call
    /// [`Self::mark_used`] after reading it.
    pub fn poll_settled(&mut self, now: Option<FileStamp>) -> bool {
        let last = std::mem::replace(&mut self.last, now);
        now == last && now != self.used
    }

    /// Records that the file has been read, successfully or not. `now` is its stamp after the read. Returns false if it
    /// changed meanwhile: what was read may be a part of it, and it is to be read again once it has settled.
    pub fn mark_used(&mut self, now: Option<FileStamp>) -> bool {
        if now == self.last {
            self.used = now;
        }
        now == self.last
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64) -> Option<FileStamp> {
        Some(FileStamp { inode: (1, 1), size, changed: (1, 0) })
    }

    #[test]
    fn a_file_is_read_once_after_two_polls_that_agree() {
        let mut file = SettledFile::new(stamp(10));

        let polled = [10, 10, 0, 4, 8, 8, 8].map(|size| {
            let is_settled = file.poll_settled(stamp(size));
            is_settled && file.mark_used(stamp(size))
        });

        assert_eq!(polled, [false, false, false, false, false, true, false]);
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        let mut file = SettledFile::new(stamp(10));
        assert!(!file.poll_settled(stamp(4)) && file.poll_settled(stamp(4)));

        assert!(!file.mark_used(stamp(8)));

        assert!(!file.poll_settled(stamp(8)) && file.poll_settled(stamp(8)));
        assert!(file.mark_used(stamp(8)) && !file.poll_settled(stamp(8)));
    }

    #[test]
    fn a_missing_file_settles_too() {
        let mut file = SettledFile::new(stamp(10));

        assert!(!file.poll_settled(None) && file.poll_settled(None));
        assert!(file.mark_used(None) && !file.poll_settled(None));
    }
}
