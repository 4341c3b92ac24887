//! Reads TOML against a declaration of its keys. Knows no key of rillgate.
//!
//! | file | |
//! |---|---|
//! | `key` | the declaration of a key: its name, kind, default and description |
//! | `reader` | the problems, files and keys that the reading of one file comes across |
//! | `value`, `table` | a value and a table of the file, read as declared |
//! | `distinct` | finds duplicates |
//! | `units` | durations, sizes and memory bounds |
//! | `problem` | mistakes with line and column, suggestions for misspellings |
//! | `schema`, `effective` | the JSON Schema and the redacted view, both made from the declarations |
//! | `watched_files` | the files that a configuration was read from |

mod distinct;
mod effective;
mod key;
mod problem;
mod reader;
mod schema;
mod table;
mod units;
mod value;
mod watched_files;

pub(crate) use self::distinct::Distinct;
pub(crate) use self::effective::effective;
#[cfg(test)]
pub(crate) use self::key::Presence;
pub(crate) use self::key::{KeySpec, Kind};
pub(crate) use self::problem::{Finding, did_you_mean, nearest};
pub use self::problem::{Problem, Problems};
pub use self::reader::Environment;
pub(crate) use self::reader::{Reader, ReferencedFile};
pub(crate) use self::schema::schema;
pub(crate) use self::table::Table;
pub use self::units::parse_duration;
pub(crate) use self::value::Value;
pub use self::watched_files::WatchedFiles;
