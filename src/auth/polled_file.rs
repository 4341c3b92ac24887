//! Files that are read again when they change: keys and revocations.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::runtime::file_watch::FileStamp;

/// Time between two checks of a file.
pub const FILE_POLL: Duration = Duration::from_secs(2);

/// The file's stamp; none if it is not there.
pub async fn stamp(path: &Path) -> Option<FileStamp> {
    tokio::fs::metadata(path).await.ok().map(FileStamp::from)
}

/// The bytes of the file, if they are not more than `most`.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}
