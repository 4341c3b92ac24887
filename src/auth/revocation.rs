//! One revocation, as it is posted (JSON) or filed (TOML).
//!
//! Both say the same: `claim` and `value`, or the short forms `jti = …` and `sub = …`. A posted one may end after a
//! `ttl` ("1h"), a filed one at `until` (a TOML date-time with offset, RFC 3339). Unknown members are refused, so that a
//! misspelt one does not revoke more or less than was meant. Ends are whole seconds. Does not hold revocations.

mod file;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::token::claims::{ClaimPath, ClaimPathError};

pub use file::{from_toml, read};

/// Tokens whose claim has this value are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which claim.
    pub claim: ClaimPath,
    /// Its value; numbers and booleans as they are written. A claim that is a list is covered by any of its elements.
    pub value: String,
    /// Until when; none: for good.
    pub until: Option<SystemTime>,
}

/// Why a revocation was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// No more room. Nothing is forgotten to make some.
    #[error("the table of revocations is full ({capacity} entries); raise revocations.entries or give them a ttl")]
    Full {
        /// How many there may be.
        capacity: usize,
    },
    /// Too many different claims, posted or filed.
    #[error("revocations can be about 16 different claims at most")]
    Claims,
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[source] std::io::Error),
    /// The file is not what it should be. Quotes nothing of it.
    #[error("line {line}, column {column} of the file: {fault}")]
    InFile {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong there.
        fault: String,
    },
    /// The body is not what it should be.
    #[error("{0}")]
    NotJson(String),
    /// Not exactly one claim with its value.
    #[error("a revocation has \"claim\" and \"value\", or \"jti\", or \"sub\"")]
    Form,
    /// An empty value, or one of more than 1024 bytes.
    #[error("a value has 1 to 1024 bytes")]
    Value,
    /// A claim's name that leads nowhere.
    #[error(transparent)]
    Name(#[from] ClaimPathError),
    /// A `ttl` that is none.
    #[error("a ttl is a number with a unit (s, m, h, d), and not 0")]
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

/// Reads the body of a request to revoke.
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

/// "90s", "15m", "1h", "7d".
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
    // A century: what is meant to last longer is given no ttl.
    (1..=100 * 366 * 24 * 60 * 60).contains(&seconds).then_some(Duration::from_secs(seconds))
}

/// After `ttl`, at the next whole second.
fn end(now: SystemTime, ttl: &str) -> Option<SystemTime> {
    let end = now.checked_add(duration(ttl)?)?.duration_since(UNIX_EPOCH).ok()?;
    let seconds = end.as_secs() + u64::from(end.subsec_nanos() > 0);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
