//! One revocation, posted as JSON or listed in the revocation file (TOML).
//!
//! Both forms have `claim` and `value`, or the short forms `jti = …` and `sub = …`. A posted revocation may end after a
//! `ttl` ("1h"), one in the file at `until` (a TOML date-time with offset, RFC 3339). Unknown members are refused, so
//! that a misspelt one does not revoke more or less than intended. Ends are whole seconds. Does not store revocations.

mod file;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::token::claims::{ClaimPath, ClaimPathError};

pub use file::{RevocationList, from_toml, read};

/// Refuses tokens whose claim has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The claim.
    pub claim: ClaimPath,
    /// The claim's value; numbers and booleans as they are written. A claim that is a list matches if one of its
    /// elements does.
    pub value: String,
    /// The end. `None`: never.
    pub until: Option<SystemTime>,
}

/// The reason why a revocation was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The table is full. No entry is removed to make room.
    #[error(
        "the table of revocations is full ({capacity} entries); raise revocations.entries or post revocations with a ttl"
    )]
    Full {
        /// The maximum number of entries.
        capacity: usize,
    },
    /// The revocations are about too many different claims. Posted and listed ones are counted separately.
    #[error("too many different claims; revocations can name at most 16")]
    Claims,
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[source] std::io::Error),
    /// The file has become empty without saying so.
    #[error(
        "the file is empty, but {entries} of its earlier entries are in force; write `revocations = []` to end them all"
    )]
    Emptied {
        /// The number of entries in force.
        entries: usize,
    },
    /// The file was removed.
    #[error("the file is missing")]
    Missing,
    /// The file is invalid. The text quotes nothing of it.
    #[error("line {line}, column {column} of the file: {fault}")]
    InFile {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The fault.
        fault: String,
    },
    /// The body is not the expected JSON.
    #[error("{0}")]
    NotJson(String),
    /// There is not exactly one claim with its value.
    #[error("a revocation must have \"claim\" and \"value\", or \"jti\", or \"sub\"")]
    Form,
    /// The value is empty or longer than 1024 bytes.
    #[error("a value must have 1 to 1024 bytes")]
    Value,
    /// The name of the claim is invalid.
    #[error(transparent)]
    Name(#[from] ClaimPathError),
    /// The `ttl` is invalid.
    #[error("invalid ttl: must be a whole number above 0 with a unit (s, m, h or d), such as \"1h\"")]
    Ttl,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedEntry {
    claim: Option<String>,
    value: Option<Scalar>,
    jti: Option<String>,
    sub: Option<String>,
    ttl: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Bool(bool),
}

/// Parses the body of a request to revoke.
///
/// # Errors
/// See [`RevocationError`].
pub fn from_json(body: &[u8], now: SystemTime) -> Result<Revocation, RevocationError> {
    let posted: PostedEntry =
        serde_json::from_slice(body).map_err(|error| RevocationError::NotJson(error.to_string()))?;
    let until = match posted.ttl {
        None => None,
        Some(ttl) => Some(end(now, &ttl).ok_or(RevocationError::Ttl)?),
    };
    build(posted.claim, posted.value.map(Scalar::into_text), posted.jti, posted.sub, until)
}

fn build(
    claim: Option<String>,
    value: Option<String>,
    jti: Option<String>,
    sub: Option<String>,
    until: Option<SystemTime>,
) -> Result<Revocation, RevocationError> {
    let (claim, value) = match (claim, value, jti, sub) {
        (Some(claim), Some(value), None, None) => (claim, value),
        (None, None, Some(jti), None) => ("jti".to_owned(), jti),
        (None, None, None, Some(sub)) => ("sub".to_owned(), sub),
        (_, _, _, _) => return Err(RevocationError::Form),
    };
    if !(1..=1024).contains(&value.len()) {
        return Err(RevocationError::Value);
    }
    Ok(Revocation { claim: ClaimPath::parse(&claim)?, value, until })
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Bool(truth) => truth.to_string(),
        }
    }
}

/// Parses "90s", "15m", "1h" or "7d".
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    // A century at most: a revocation that should last longer is posted without a ttl.
    (1..=100 * 366 * 24 * 60 * 60).contains(&seconds).then_some(Duration::from_secs(seconds))
}

/// Adds `ttl` to `now` and rounds up to the next whole second.
fn end(now: SystemTime, ttl: &str) -> Option<SystemTime> {
    let end = now.checked_add(duration(ttl)?)?.duration_since(UNIX_EPOCH).ok()?;
    let seconds = end.as_secs() + u64::from(end.subsec_nanos() > 0);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
