//! Reads a TOML document against the declaration of its keys.
//!
//! The engine knows no key of rillgate; the declarations are in `tables`.
//!
//! | file | contents |
//! |---|---|
//! | `key` | the declaration of a key: name, kind, default, description |
//! | `reader` | state shared while one file is read: problems, referenced files, requested keys |
//! | `value`, `table` | a value and a table of the document, read as declared |
//! | `distinct` | duplicate detection |
//! | `units` | durations, sizes and memory bounds |
//! | `problem` | problems with line and column, and suggestions for misspelled names |
//! | `schema`, `effective` | the JSON Schema and the redacted configuration, both built from the declarations |
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
pub(crate) use self::units::Memory;
pub use self::units::parse_duration;
pub(crate) use self::value::Value;
pub use self::watched_files::WatchedFiles;
