//! The folder of the store: private to its owner, locked by one process, with damaged files moved aside.
//!
//! | file | content |
//! |---|---|
//! | `events.redb` | the event logs |
//! | `lock` | locked while a process uses the folder |
//! | `events.corrupt-1.redb` … `-3.redb` | quarantined files, the newest first, for inspection |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that only this process uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Released when it is closed, even if the process is killed.
    _lock: File,
}

/// Checks that `path` is a writable folder or can be created. Leaves nothing behind.
///
/// # Errors
/// The problem, in words for the operator.
pub fn examine(path: &Path) -> Result<(), String> {
    let nearest =
        path.ancestors().find(|ancestor| ancestor.as_os_str().is_empty() || ancestor.symlink_metadata().is_ok());
    let nearest = nearest.filter(|nearest| !nearest.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = nearest.display();
    if !nearest.is_dir() {
        return Err(format!("{shown} is not a folder"));
    }
    let probe = nearest.join(format!(".rillgate-probe-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&probe);
    made.and_then(|_| std::fs::remove_file(&probe)).map_err(|error| match nearest == path {
        true => format!("cannot write to the folder: {error}"),
        false => format!("cannot create the folder: cannot write to {shown}: {error}"),
    })
}

impl Folder {
    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// [`StoreFault::Locked`] while another process holds the lock; otherwise the system's error.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreFault> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
        let lock = open(&path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreFault::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Opens the file of event logs, creating it if it does not exist.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn file(&self) -> io::Result<File> {
        open(&self.path.join(FILE))
    }

    /// Moves the corrupt file aside and removes the oldest of its predecessors. Returns the new path.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn quarantine(&self) -> io::Result<PathBuf> {
        let quarantined = |index: usize| self.path.join(format!("events.corrupt-{index}.redb"));
        for index in (1..MAX_QUARANTINED).rev().filter(|&index| quarantined(index).exists()) {
            std::fs::rename(quarantined(index), quarantined(index + 1))?;
        }
        std::fs::rename(self.path.join(FILE), quarantined(1))?;
        Ok(quarantined(1))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

const FILE: &str = "events.redb";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Maximum number of quarantined files.
const MAX_QUARANTINED: usize = 3;

/// The reason why the file cannot be used, as far as the reaction differs.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreFault {
    /// Another process has locked the folder.
    #[error("another process has the store open")]
    Locked,
    /// The file is damaged.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The disk is full.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The system cannot read or write the file.
    #[error("cannot use the store: {0}")]
    Unusable(String),
}

impl StoreFault {
    /// Returns the metric label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Corrupt(_) => "corrupt",
            Self::Full(_) => "full",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl From<io::Error> for StoreFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library adds kinds")]
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error.to_string()),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Corrupt(error.to_string()),
            _ => Self::Unusable(error.to_string()),
        }
    }
}

impl From<redb::Error> for StoreFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "redb has many errors and adds more; one more is unusable too")]
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked,
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. } => Self::Corrupt(error.to_string()),
            other => Self::Unusable(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for StoreFault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(StorageError, TableError, TransactionError, CommitError, DatabaseError);
