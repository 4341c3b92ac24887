//! Reads a TOML document against the declaration of its keys.
//!
//! The engine knows no key of rillgate; the declarations are in `tables`.
//!
//! | file | contents |
//! |---|---|
//! | `key` | the declaration of a key: name, kind, default, description |
//! | `declare` | the macros that declare the keys of a table and the strings of an enum |
//! | `reader` | state shared while one file is read: problems, referenced files |
//! | `value`, `table` | a value and a table of the document, read as declared |
//! | `distinct` | duplicate detection |
//! | `units` | durations, sizes and memory bounds |
//! | `problem` | problems with line and column, and suggestions for misspelled names |
//! | `schema`, `effective` | the JSON Schema and the redacted configuration, both built from the declarations |
//! | `watched_files` | the files that a configuration was read from |

mod declare;
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

pub(crate) use self::declare::{keys, variants};
pub(crate) use self::distinct::Distinct;
pub(crate) use self::effective::effective;
pub(crate) use self::key::{Bounds, KeySpec, Kind, Presence, duration, duration_or_zero, integer, size};
pub(crate) use self::problem::{Finding, did_you_mean, nearest};
pub use self::problem::{Problem, Problems};
pub use self::reader::Environment;
pub(crate) use self::reader::{Reader, ReferencedFile};
pub(crate) use self::schema::schema;
pub(crate) use self::table::{HasDefault, Key, KeyEntry, Keys, Table};
pub(crate) use self::units::Memory;
pub use self::units::parse_duration;
pub(crate) use self::value::{FromDefault, FromValue, List, Map, OneOf, Value};
pub use self::watched_files::WatchedFiles;
