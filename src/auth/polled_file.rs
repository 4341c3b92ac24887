//! Access to files that are read again when they change: key files and the revocation file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::runtime::file_watch::FileStamp;

/// Interval between two checks of a file. Two of them pass before a change counts.
pub(super) const FILE_POLL: Duration = Duration::from_secs(1);

/// Returns the file's stamp, or `None` if the file does not exist.
pub(super) async fn stamp(path: &Path) -> Option<FileStamp> {
    tokio::fs::metadata(path).await.ok().map(FileStamp::from)
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// The file cannot be read, or is larger.
pub(super) fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}
