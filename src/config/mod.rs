//! The configuration file: TOML text → the file as written, with positions → believed values.
//!
//! [`Config`] holds only values that have been checked: URLs parsed, durations bounded, names resolved, files read.
//! Each module owns its settings type; this one only knows how to make them from TOML. Nothing below the gateway
//! mentions this module. All mistakes are found at once, and nothing is half-configured.
//!
//! Every key is declared once, in a list of `KeySpec`s beside the code that reads it. [`schema`](schema()) and the
//! reader both work from these lists.

mod engine;
mod reload_diff;
mod summary;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

pub use self::engine::{Environment, Problem, Problems, WatchedFiles, parse_duration};
use self::engine::{Finding, Reader, ReferencedFile};
use crate::auth::IssuerSettings;
use crate::limits::Limits;
use crate::runtime::file_watch::FileStamp;
use crate::upstream::UpstreamSettings;
use crate::{admin, listen, route, store};

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads, each with its own runtime. Never 0 here: `workers = 0` has become the number of cores.
    pub workers: usize,
    /// Whether it is read again when its files have changed. Default true.
    pub watch: bool,
    /// The files whose changes only reading it again takes in, as they looked just before they were read: its own, those
    /// of secrets, and those of the upstreams' TLS.
    pub watched_files: WatchedFiles,
    /// How the gateway leaves.
    pub drain: DrainSettings,
    /// Whether access lines carry the token's subject.
    pub log_subject: bool,
    /// Where the event logs of routes with `replay.store = "disk"` are kept. `None`: there are none such.
    pub store: Option<store::Settings>,
    /// Where clients come in. Never empty.
    pub listeners: Vec<listen::Settings>,
    /// The operator's port. `None`: there is none.
    pub admin: Option<admin::Settings>,
    /// How much of each thing is let in.
    pub limits: Limits,
    /// Connections and streams together that the file itself asks room for, those of absent keys not among them.
    pub configured_sockets: usize,
    /// Who signs tokens, by name.
    pub issuers: BTreeMap<String, Arc<IssuerSettings>>,
    /// Where events come from, by name.
    pub upstreams: BTreeMap<String, Arc<UpstreamSettings>>,
    /// What is served.
    pub routes: Vec<Arc<route::Settings>>,
    /// What is refused although its token is good.
    pub revocations: RevocationSettings,
    /// All of it as it was written, defaults included and secrets not, to be shown.
    pub effective: serde_json::Value,
}

/// Three durations, three questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// Has the balancer looked away? Time between "not ready" and the first response ended. Default 0.
    pub notice: Duration,
    /// How slowly may clients leave? Default 5 s.
    pub spread: Duration,
    /// When do we stop being polite? Counted from the end of the notice. Default 30 s.
    pub deadline: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { notice: Duration::ZERO, spread: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}

/// `[revocations]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSettings {
    /// A file of revocations, read at start and when it changes.
    pub file: Option<PathBuf>,
    /// Most entries held. Default 100 000.
    pub entries: usize,
}

impl Default for RevocationSettings {
    fn default() -> Self {
        Self { file: None, entries: 100_000 }
    }
}

impl Config {
    /// Reads and checks the file at `path` and everything that it names.
    ///
    /// # Errors
    /// All [`Problems`] of the file, or the one that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        // Looked at before it is read: a change in between is seen later.
        let own = FileStamp::of(path);
        let content = tables::read_file(path).map_err(|reason| {
            Problems::for_file(path, format!("cannot be read: {reason}"))
                .with_watched_files([(path.to_owned(), own)].into_iter().collect())
        })?;
        let outcome = match str::from_utf8(&content) {
            Ok(text) => Self::parse(text, path),
            Err(error) => {
                let message = "is not UTF-8".to_owned();
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

    /// Checks `text` as the content of `file`, whose folder relative paths start from.
    ///
    /// # Errors
    /// All [`Problems`] of the text.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problems> {
        Self::parse_with(text, file, &|name| std::env::var_os(name).map(|value| value.into_encoded_bytes()))
    }

    /// As [`parse`](Self::parse), with the variables of `environment` instead of the process's.
    ///
    /// # Errors
    /// All [`Problems`] of the text.
    pub fn parse_with(text: &str, file: &Path, environment: &Environment<'_>) -> Result<Self, Problems> {
        read(text, file, environment).0
    }
}

/// The JSON Schema of the configuration file.
pub fn schema() -> serde_json::Value {
    engine::schema(tables::FILE)
}

/// The outcome, and the keys that were asked for.
fn read(text: &str, file: &Path, environment: &Environment<'_>) -> (Result<Config, Problems>, BTreeSet<String>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The rest of a file with broken syntax cannot be judged: what seems to be missing may only be unreadable.
        return (Err(Problems::locate(file, text.as_bytes(), syntax(text, &errors))), BTreeSet::new());
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let reader = Reader::new(folder, environment);
    let config = tables::config(&reader.root(tables::FILE, document.get_ref()));
    let files = |of: fn(&ReferencedFile) -> bool| {
        reader
            .referenced_files
            .borrow()
            .iter()
            .filter(|source| of(source))
            .map(|it| (it.path.clone(), it.stamp))
            .collect()
    };
    let (found, requested) = reader.finish();
    match found.is_empty() {
        true => {
            let effective = engine::effective(tables::FILE, Some(document.get_ref()));
            (Ok(Config { watched_files: files(|source| !source.is_followed), effective, ..config }), requested)
        }
        false => (Err(Problems::locate(file, text.as_bytes(), found).with_watched_files(files(|_| true))), requested),
    }
}

/// Mistakes of syntax, without those that only follow from the one before: the parser stumbles from line to line.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Finding> {
    /// After an unclosed bracket every line looks wrong.
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
