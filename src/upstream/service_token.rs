//! The token of `upstreams.NAME.token`, read from its file whenever the file has changed.
//!
//! It is no part of the upstream's identity or credentials: a new token applies to the next connection, and open ones
//! stay. A file that cannot be used leaves the earlier token in use and is logged once. Never shows the token or the
//! path, because a path that was meant to name a file may be the token itself.

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use tokio::fs::{File, metadata};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::runtime::file_watch::FileStamp;

/// A bearer token in a file.
pub struct ServiceToken {
    path: PathBuf,
    /// Held while the file is read, so that of two readers the later one stores last.
    known: Mutex<KnownToken>,
}

struct KnownToken {
    /// The value of `Authorization`.
    value: HeaderValue,
    /// The state of the file at the last read, `Some(None)` if there was none. `None` before the first read.
    stamp: Option<Option<FileStamp>>,
}

/// The reason why the content of a file is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The file has nothing but white space.
    #[error("the file contains no token")]
    Empty,
    /// It has a character that a bearer token cannot have (RFC 6750, 2.1).
    #[error("the file contains a character that a bearer token cannot have (RFC 6750, 2.1)")]
    Character,
    /// It is larger than [`MAX_TOKEN_BYTES`].
    #[error("the file is larger than 16 KiB")]
    Size,
}

impl ServiceToken {
    /// Creates the token of a file with this content.
    ///
    /// # Errors
    /// The content is empty, has a character that a bearer token cannot have (RFC 6750, 2.1), or exceeds 16 KiB.
    pub fn new(path: PathBuf, content: &[u8]) -> Result<Self, InvalidToken> {
        let known = KnownToken { value: parse(content)?, stamp: None };
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// Returns the value of `Authorization` with the token that the file has now. `upstream` is named in the log.
    pub(crate) async fn authorization(&self, upstream: &str) -> HeaderValue {
        let mut known = self.known.lock().await;
        // Before reading, so that a change in between is noticed the next time.
        let stamp = metadata(&self.path).await.ok().map(FileStamp::from);
        if known.stamp == Some(stamp) {
            return known.value.clone();
        }
        let content = read(&self.path).await;
        known.stamp = Some(stamp);
        match content.and_then(|content| parse(&content).map_err(|error| error.to_string())) {
            Ok(value) if value == known.value => {}
            Ok(value) => {
                info!(%upstream, "upstream token renewed");
                known.value = value;
            }
            Err(error) => {
                warn!(%upstream, %error, "upstream token not renewed: the earlier one stays in use");
            }
        }
        known.value.clone()
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    file.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut content).await.map_err(|error| error.to_string())?;
    Ok(content)
}

/// Parses a token with white space around it.
fn parse(content: &[u8]) -> Result<HeaderValue, InvalidToken> {
    if content.len() as u64 > MAX_TOKEN_BYTES {
        return Err(InvalidToken::Size);
    }
    let token = content.trim_ascii();
    if token.is_empty() {
        return Err(InvalidToken::Empty);
    }
    if !token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)) {
        return Err(InvalidToken::Character);
    }
    let mut value =
        HeaderValue::from_bytes(&[b"Bearer ", token].concat()).expect("a token of these characters is a field value");
    value.set_sensitive(true);
    Ok(value)
}

/// Most bytes of the file of a token.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_the_white_space_around_it() {
        assert_eq!(
            parse(b" eyJh.eyJz._-~+/== \r\n").map(|value| value.as_bytes().to_vec()).unwrap(),
            b"Bearer eyJh.eyJz._-~+/=="
        );
        assert_eq!(parse(b" \n"), Err(InvalidToken::Empty));
        assert_eq!(parse(b"two tokens"), Err(InvalidToken::Character));
        assert_eq!(parse("t\u{f6}ken".as_bytes()), Err(InvalidToken::Character));
        assert!(parse(&[b'a'; 16 * 1024]).is_ok());
        assert_eq!(parse(&[b'a'; 16 * 1024 + 1]), Err(InvalidToken::Size));
    }

    #[tokio::test]
    async fn an_unusable_file_leaves_the_earlier_token_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = ServiceToken::new(path.clone(), b"first").unwrap();
        let current = async || token.authorization("core").await.to_str().unwrap().to_owned();
        assert_eq!(current().await, "Bearer first");

        for (content, expected) in [("second\n", "Bearer second"), ("", "Bearer second"), ("no token", "Bearer second")]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(current().await, expected, "{content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(current().await, "Bearer second");
        std::fs::write(&path, "third").unwrap();
        assert_eq!(current().await, "Bearer third");
    }

    #[test]
    fn neither_the_token_nor_its_path_is_shown() {
        let token = ServiceToken::new("/run/secret-token".into(), b"secret-token").unwrap();

        assert_eq!(format!("{token:?}"), "[redacted]");
        assert!(!format!("{:?}", token.known.try_lock().unwrap().value).contains("secret"));
    }
}
