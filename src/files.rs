//! Noticing that files have changed, by looking at them now and then.
//!
//! Modification time, length and inode of what a path leads to: so an atomic rename and the symlink swap of a Kubernetes
//! volume are seen, which a watch on the file itself would miss. Does not read the files.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to look.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Some files, and how they looked last.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Look>>,
}

type Look = (i64, i64, u64, u64);

impl Watched {
    /// Looks at the files for the first time.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let seen = paths.iter().map(|path| look(path)).collect();
        Self { paths, seen }
    }

    /// Whether any looks different from last time.
    pub fn have_changed(&mut self) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| look(path)).collect();
        let have_changed = now != self.seen;
        self.seen = now;
        have_changed
    }
}

fn look(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}
