//! The revocation file: TOML with one `[[revocations]]` table for each entry, or `revocations = []` for none.
//!
//! A file without either says nothing: it may be one that is being written.
//! Errors give line and column and never quote the file, because the values are personal data. Does not watch the file.

use std::path::Path;
use std::time::SystemTime;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Revocation, RevocationError, build};
use crate::auth::{polled_file, rfc3339};

/// Maximum size of the file in bytes.
const MAX_FILE: usize = 64 * 1024 * 1024;

/// The contents of a revocation file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The entries, in the file's order.
    pub entries: Vec<Revocation>,
    /// Whether the file has the key `revocations`. If not, it is empty but for comments.
    pub is_declared: bool,
}

/// Reads the file at `path`, at most 64 MiB.
///
/// # Errors
/// The file cannot be read, or is invalid as in [`from_toml`].
pub fn read(path: &Path) -> Result<RevocationList, RevocationError> {
    let bytes = polled_file::read(path, MAX_FILE).map_err(RevocationError::File)?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let valid = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        FileFault { at: valid.len(), message: "not UTF-8".to_owned() }.locate(valid)
    })?;
    from_toml(text)
}

/// Parses the text of a revocation file.
///
/// # Errors
/// [`RevocationError::InFile`] for the first fault.
pub fn from_toml(text: &str) -> Result<RevocationList, RevocationError> {
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        FileFault { at, message: format!("not TOML: {}", error.message()) }.locate(text)
    })?;
    let entries = parse_entries(document.get_ref()).map_err(|fault| fault.locate(text))?;
    Ok(RevocationList { entries, is_declared: !document.get_ref().is_empty() })
}

/// A fault and its byte offset.
struct FileFault {
    at: usize,
    message: String,
}

fn parse_entries(document: &DeTable<'_>) -> Result<Vec<Revocation>, FileFault> {
    let mut all = Vec::new();
    for (name, value) in document {
        let DeValue::Array(entries) = value.get_ref() else {
            return Err(FileFault::new(name.span().start, LIST));
        };
        if name.get_ref() != "revocations" {
            return Err(FileFault::new(name.span().start, LIST));
        }
        all.reserve(entries.len());
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else {
                return Err(FileFault::new(entry.span().start, LIST));
            };
            all.push(parse_entry(table, entry.span().start)?);
        }
    }
    Ok(all)
}

fn parse_entry(table: &DeTable<'_>, at: usize) -> Result<Revocation, FileFault> {
    let known = ["jti", "sub", "claim", "value", "until"];
    if let Some(name) = table.keys().find(|name| !known.contains(&&**name.get_ref())) {
        return Err(FileFault::new(name.span().start, KEY));
    }
    let claim = table.get("claim").map(string).transpose()?;
    let value = table.get("value").map(scalar).transpose()?;
    let jti = table.get("jti").map(string).transpose()?;
    let sub = table.get("sub").map(string).transpose()?;
    let until = table.get("until").map(end).transpose()?;
    // A fault of several members together is reported at the start of the entry.
    build(claim, value, jti, sub, until).map_err(|error| FileFault { at, message: error.to_string() })
}

fn string(given: &Spanned<DeValue<'_>>) -> Result<String, FileFault> {
    let DeValue::String(text) = given.get_ref() else {
        return Err(FileFault::new(given.span().start, "must be a string"));
    };
    Ok(text.clone().into_owned())
}

fn scalar(given: &Spanned<DeValue<'_>>) -> Result<String, FileFault> {
    match given.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
    .ok_or_else(|| FileFault::new(given.span().start, "must be a string, a whole number, true or false"))
}

fn end(given: &Spanned<DeValue<'_>>) -> Result<SystemTime, FileFault> {
    given.get_ref().as_datetime().and_then(rfc3339::to_system_time).ok_or_else(|| {
        FileFault::new(given.span().start, "until must be a date-time with an offset, such as 2030-01-31T12:00:00Z")
    })
}

impl FileFault {
    fn new(at: usize, message: &str) -> Self {
        Self { at, message: message.to_owned() }
    }

    /// Converts the offset to a line, and a column in characters, both from 1.
    fn locate(self, text: &str) -> RevocationError {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        RevocationError::InFile { line, column, fault: self.message }
    }
}

const LIST: &str = "only [[revocations]] tables are allowed";
const KEY: &str = "unknown key; a revocation has jti, or sub, or claim and value, and optionally until";
