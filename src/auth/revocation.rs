//! One revocation, as it is posted (JSON) or filed (TOML).
//!
//! Both say the same: `claim` and `value`, or the short forms `jti = …` and `sub = …`. A posted one may end after a
//! `ttl` ("1h"), a filed one at `until` (a TOML date-time with offset, RFC 3339). Unknown members are refused, so that a
//! misspelt one does not revoke more or less than was meant. Does not
//! hold revocations.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use toml::value::{Datetime, Offset};

use super::claims::{ClaimPath, ClaimPathError};
use super::keyfile;

/// Largest file, in bytes.
const MAX_FILE: usize = 64 * 1024 * 1024;

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
    /// Too many different claims.
    #[error("revocations can be about 16 different claims at most")]
    Claims,
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[source] std::io::Error),
    /// The file is not what it should be.
    #[error("{0}")]
    NotToml(String),
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
    /// An `until` without an offset, or out of range.
    #[error("until is a date-time with an offset, like 2030-01-31T12:00:00Z")]
    Until,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    claim: Option<String>,
    value: Option<Scalar>,
    jti: Option<String>,
    sub: Option<String>,
    ttl: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filed {
    claim: Option<String>,
    value: Option<Scalar>,
    jti: Option<String>,
    sub: Option<String>,
    until: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledAll {
    #[serde(default)]
    revocations: Vec<Filed>,
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
    let posted: Posted = serde_json::from_slice(body).map_err(|error| RevocationError::NotJson(error.to_string()))?;
    let until = match posted.ttl {
        None => None,
        Some(ttl) => Some(now.checked_add(duration(&ttl).ok_or(RevocationError::Ttl)?).ok_or(RevocationError::Ttl)?),
    };
    one(posted.claim, posted.value, posted.jti, posted.sub, until)
}

/// Reads a file of revocations.
///
/// # Errors
/// See [`RevocationError`]. The text never shows a line of the file.
pub fn from_toml(text: &str) -> Result<Vec<Revocation>, RevocationError> {
    let all: FiledAll = toml::from_str(text).map_err(|error| RevocationError::NotToml(error.message().to_owned()))?;
    let read = |filed: Filed| {
        let until = filed.until.map(|until| instant(&until).ok_or(RevocationError::Until)).transpose()?;
        one(filed.claim, filed.value, filed.jti, filed.sub, until)
    };
    all.revocations.into_iter().map(read).collect()
}

/// Reads the file at `path`, at most 64 MiB.
///
/// # Errors
/// See [`RevocationError`].
pub fn read(path: &Path) -> Result<Vec<Revocation>, RevocationError> {
    let bytes = keyfile::read(path, MAX_FILE).map_err(RevocationError::File)?;
    let text = String::from_utf8(bytes).map_err(|_| RevocationError::NotToml("it is not UTF-8".to_owned()))?;
    from_toml(&text)
}

fn one(
    claim: Option<String>,
    value: Option<Scalar>,
    jti: Option<String>,
    sub: Option<String>,
    until: Option<SystemTime>,
) -> Result<Revocation, RevocationError> {
    let (claim, value) = match (claim, value, jti, sub) {
        (Some(claim), Some(value), None, None) => (claim, value.into_text()),
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

fn instant(at: &Datetime) -> Option<SystemTime> {
    let (date, time) = (at.date?, at.time?);
    let offset = match at.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since 1970 of a date in the Gregorian calendar, whose years here begin in March.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or_default());
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests;
