//! What can be wrong with a store, as far as it makes a difference to what is done about it.

use std::io;

/// Why the file cannot be used, or not now.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Another process has it.
    #[error("another process has the store open")]
    Locked,
    /// What is in it cannot be believed.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The disk has no room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The system cannot read or write it.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

impl StoreFault {
    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Corrupt(_) => "corrupt",
            Self::Full(_) => "full",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl From<io::Error> for StoreFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error.to_string()),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Corrupt(error.to_string()),
            _ => Self::Unusable(error.to_string()),
        }
    }
}

impl From<redb::Error> for StoreFault {
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
