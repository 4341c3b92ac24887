//! Log lines: their destination, format and filter.
//!
//! Lines go through a queue to standard error, as text or as JSON, so that no worker waits for its reader. The filter can
//! change while the process runs. Reads no configuration and writes no file: the reader rotates its own files.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use super::log_queue::LogQueue;

/// The target of access lines, for filters.
pub const ACCESS: &str = "rillgate::access";

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, target, message, fields. Coloured if standard error is a terminal and `NO_COLOR` is not
    /// set.
    #[default]
    Text,
    /// For machines: one JSON object per line, with the fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

/// Changes the filter of a running process, and counts its dropped lines.
#[derive(Clone, Debug)]
pub struct FilterHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    queue: LogQueue,
}

/// An error while setting up or changing the log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is neither a level nor a list of directives.
    #[error("{filter:?} is not a valid level or filter")]
    Filter {
        /// The filter as given.
        filter: String,
        /// The parser's error.
        source: ParseError,
    },
    /// A single word that is not a level. As a directive it would silence everything but a target of that name.
    #[error("{0:?} is not a level; to filter a target, write {0}=debug")]
    Word(String),
    /// The process has installed another logger.
    #[error("the process has a logger already")]
    Taken,
}

/// Starts logging to a queue, whose [`LogQueue::write_to`] must run on a thread of its own.
///
/// `filter` is the value of `RILLGATE_LOG`. A bare level (`debug`) applies to rillgate's own targets, and dependencies
/// stay at `warn`, but for the client of the cluster's engine: it repeats at each attempt what `rillgate::cluster` says
/// once. `off` turns everything off. Any other value is a list of tracing directives
/// (`rillgate=debug,h2=info`) and used as it is: targets that it does not name are silent. `None` or an empty value
/// means `info`. Builds without debug assertions have no lines of the level `trace`.
///
/// # Errors
/// The filter is invalid, or the process has a logger already.
pub fn init(format: Format, filter: Option<&str>, queue: LogQueue) -> Result<FilterHandle, LoggingError> {
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (subscriber, filter) = subscriber(format, filter, ansi, queue.clone())?;
    subscriber.try_init().map_err(|_| LoggingError::Taken)?;
    Ok(FilterHandle { filter, queue })
}

impl FilterHandle {
    /// Returns the number of lines that were dropped because standard error was not read in time.
    pub fn dropped_lines(&self) -> u64 {
        self.queue.dropped_lines()
    }

    /// Returns the current filter, as directives.
    pub fn current(&self) -> String {
        self.filter.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Replaces the filter; [`init`] describes its form. Lines that dependencies write through the `log` facade (rustls
    /// does) stay limited to the most verbose level of the first filter.
    ///
    /// # Errors
    /// The filter is invalid; the old one stays.
    pub fn set(&self, filter: Option<&str>) -> Result<(), LoggingError> {
        self.filter.reload(parse(filter)?).map_err(|_| LoggingError::Taken)
    }
}

fn subscriber<W>(
    format: Format,
    filter: Option<&str>,
    ansi: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + 'static, reload::Handle<EnvFilter, Registry>), LoggingError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = match format {
        Format::Text => fmt::layer().with_ansi(ansi).with_writer(writer).boxed(),
        Format::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed(),
    };
    Ok((tracing_subscriber::registry().with(filter).with(lines), handle))
}

fn parse(filter: Option<&str>) -> Result<EnvFilter, LoggingError> {
    let filter = filter.map_or("", str::trim);
    let directives = match filter.parse::<LevelFilter>() {
        _ if filter.is_empty() => "warn,async_nats=off,rillgate=info".to_owned(),
        Ok(LevelFilter::OFF) => "off".to_owned(),
        Ok(level) => format!("warn,async_nats=off,rillgate={level}"),
        Err(_) if filter.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            return Err(LoggingError::Word(filter.to_owned()));
        }
        Err(_) => filter.to_owned(),
    };
    EnvFilter::builder().parse(directives).map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests;
