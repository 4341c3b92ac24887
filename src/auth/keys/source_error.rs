//! The error of a source of keys.

use std::fmt;

use super::fetch::FetchError;
use super::jwks::DocumentError;
use super::key_set::KeyError;
use crate::runtime::excerpt;

/// The reason why a source of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The path of the file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file or secret is not a usable key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The document is not a usable JWK Set.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl SourceError {
    /// Returns the metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Key(_) => "key",
            Self::Document(DocumentError::NotAKeySet) => "document",
            Self::Document(DocumentError::NoUsableKey) => "no_keys",
            Self::Fetch(error) => error.kind(),
        }
    }

    /// Returns the error and its causes on one line, shortened: a TLS error lists the names of the issuer's certificate.
    pub(crate) fn chain(&self) -> String {
        excerpt::truncate(&Chain(self).to_string())
    }
}

/// Displays an error and its causes on one line.
struct Chain<'e>(&'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
