//! Reads and checks the configuration file.
//!
//! [`Config`] contains only checked values: URLs are parsed, durations are within bounds, names are resolved, files have
//! been read. Each module owns its settings type; this module builds them from TOML. No module below `gateway` uses it.
//! All problems of a file are reported at once, and a file with a problem is not applied at all.
//!
//! Every key is declared once, with the macro `keys!`, next to the code that reads it. [`schema`](schema()) and the reader
//! both use these declarations.
//!
//! | file | contents |
//! |---|---|
//! | `engine` | reads TOML against declarations of keys |
//! | `tables` | the declarations of rillgate's keys, and the code that builds settings |
//! | `summary` | the output of `rillgate check` |
//! | `reload_diff` | the changes that take effect only after a restart |

mod engine;
mod reload_diff;
mod summary;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

pub use self::engine::{Environment, Problem, Problems, WatchedFiles, parse_duration};
use self::engine::{Finding, Reader, ReferencedFile};
use crate::auth::IssuerSettings;
use crate::cluster::ClusterSettings;
use crate::limits::Limits;
use crate::runtime::file_watch::FileStamp;
use crate::upstream::UpstreamSettings;
use crate::{admin, listen, route, store};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The number of worker threads, each with its own runtime. Never 0: `workers = 0` becomes the number of cores.
    pub workers: usize,
    /// Whether a change of a watched file reloads the configuration. Default true.
    pub watch: bool,
    /// The files whose changes take effect at a reload, in their state just before they were read: the configuration
    /// file, files of secrets, and certificates for upstreams.
    pub watched_files: WatchedFiles,
    /// The timing of a shutdown.
    pub drain: DrainSettings,
    /// Whether access log lines contain the token's subject. Default false.
    pub log_subject: bool,
    /// The store for event logs of routes with `replay.store = "disk"`. `None`: there is no store.
    pub store: Option<store::Settings>,
    /// The engine through which gateways share. `None`: this gateway is alone.
    pub cluster: Option<ClusterSettings>,
    /// The listeners. Never empty.
    pub listeners: Vec<listen::Settings>,
    /// The admin port. `None`: there is no admin port.
    pub admin: Option<admin::Settings>,
    /// The gateway-wide limits.
    pub limits: Limits,
    /// The sum of `limits.connections` and `limits.streams`, counting only keys present in the file. The limit of open
    /// files is checked against it.
    pub configured_sockets: usize,
    /// The issuers of tokens, by name.
    pub issuers: BTreeMap<String, Arc<IssuerSettings>>,
    /// The upstreams, by name.
    pub upstreams: BTreeMap<String, Arc<UpstreamSettings>>,
    /// The routes, in file order.
    pub routes: Vec<Arc<route::Settings>>,
    /// The settings of token revocation.
    pub revocations: RevocationSettings,
    /// The effective configuration as JSON, with defaults and without secrets, for `GET /config`.
    pub effective: serde_json::Value,
}

/// `[server] drain`: the timing of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// The time between reporting "not ready" and ending the first response, for the load balancer to react. Default 0.
    pub notice: Duration,
    /// The period over which responses are ended, each at a random moment. Default 5 s.
    pub spread: Duration,
    /// The time after which remaining connections are closed, counted from the end of `notice`. Default 30 s.
    pub deadline: Duration,
}

/// `[revocations]`: the settings of token revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSettings {
    /// A file of revocations, read at start and again when it changes.
    pub file: Option<PathBuf>,
    /// The maximum number of entries. Default 100 000.
    pub entries: usize,
}

impl Config {
    /// Reads and checks the file at `path` and all files that it references.
    ///
    /// # Errors
    /// All [`Problems`] of the file, or one problem if the file itself cannot be read.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        // Take the stamp before reading, so that a change in between is noticed later.
        let own = FileStamp::of(path);
        let content = tables::read_file(path).map_err(|reason| {
            Problems::for_file(path, format!("cannot be read: {reason}"))
                .with_watched_files([(path.to_owned(), own)].into_iter().collect())
        })?;
        let outcome = match str::from_utf8(&content) {
            Ok(text) => Self::parse(text, path),
            Err(error) => {
                let message = "not valid UTF-8".to_owned();
                let found = Finding { offset: error.valid_up_to(), key: "file".to_owned(), message };
                Err(Problems::locate(path, &content, vec![found]))
            }
        };
        match outcome {
            Ok(mut config) => {
                config.watched_files.add(path.to_owned(), own);
                Ok(config)
            }
            Err(problems) => {
                let mut sources = problems.watched_files().clone();
                sources.add(path.to_owned(), own);
                Err(problems.with_watched_files(sources))
            }
        }
    }

    /// Checks `text` as the content of `file`. Relative paths are resolved against the folder of `file`.
    ///
    /// # Errors
    /// All [`Problems`] of the text.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problems> {
        Self::parse_with(text, file, &|name| std::env::var_os(name).map(|value| value.into_encoded_bytes()))
    }

    /// Like [`parse`](Self::parse), but looks up variables in `environment` instead of the process's environment.
    ///
    /// # Errors
    /// All [`Problems`] of the text.
    pub fn parse_with(text: &str, file: &Path, environment: &Environment<'_>) -> Result<Self, Problems> {
        read(text, file, environment)
    }
}

/// Returns the JSON Schema of the configuration file.
pub fn schema() -> serde_json::Value {
    engine::schema(tables::KEYS)
}

/// Returns the limits of a file without a `[limits]` table, for unit tests of other modules.
#[cfg(test)]
pub(crate) fn default_limits() -> Limits {
    let text = include_str!("../../config/minimal.toml");
    Config::parse(text, Path::new("")).expect("a valid file").limits
}

/// Reads and checks `text`.
fn read(text: &str, file: &Path, environment: &Environment<'_>) -> Result<Config, Problems> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Report syntax errors alone: a key that seems to be missing may only be unreadable.
        return Err(Problems::locate(file, text.as_bytes(), syntax(text, &errors)));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let reader = Reader::new(folder, environment);
    let config = tables::config(&reader.root(document.get_ref()));
    let files = |of: fn(&ReferencedFile) -> bool| {
        reader
            .referenced_files
            .borrow()
            .iter()
            .filter(|source| of(source))
            .map(|it| (it.path.clone(), it.stamp))
            .collect()
    };
    let found = reader.finish();
    match found.is_empty() {
        true => {
            let mut effective = engine::effective(tables::KEYS, Some(document.get_ref()));
            tables::show_post_defaults(&mut effective, document.get_ref());
            Ok(Config { watched_files: files(|source| !source.is_watched_by_user), effective, ..config })
        }
        false => Err(Problems::locate(file, text.as_bytes(), found).with_watched_files(files(|_| true))),
    }
}

/// Returns the syntax errors, at most ten. Leaves out an error on the same line as the previous one or on the next line,
/// since it is usually a consequence.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Finding> {
    /// An unclosed bracket makes every following line look wrong.
    const MAX_REPORTED: usize = 10;
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().map_or(0, |span| span.start), error.message())).collect();
    errors.sort_unstable();
    let mut end = None;
    let mut found = Vec::new();
    for (offset, message) in errors {
        let follows = |end| text.get(end..offset).is_some_and(|between| between.matches('\n').count() <= 1);
        if !end.replace(offset).is_some_and(follows) {
            found.push(Finding { offset, key: "syntax".to_owned(), message: message.to_owned() });
        }
    }
    found.truncate(MAX_REPORTED);
    found
}

#[cfg(test)]
mod tests;
