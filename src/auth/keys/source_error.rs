//! The reasons why a source of keys cannot be used.

use std::fmt;

use super::fetch::FetchError;
use super::jwks::DocumentError;
use super::key_set::KeyError;

/// A source of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file or secret is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The document is no JWK Set.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl SourceError {
    /// The metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Key(_) => "key",
            Self::Document(DocumentError::NotAKeySet) => "document",
            Self::Document(DocumentError::NoUsableKey) => "no_keys",
            Self::Fetch(error) => error.kind(),
        }
    }

    /// It with its causes, on one line.
    pub(super) fn chain(&self) -> impl fmt::Display {
        Chain(self)
    }
}

/// An error with its causes, on one line.
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
