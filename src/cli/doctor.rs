//! `rillgate doctor`: reads a stream as a browser would, and says what stands between it and the server.
//!
//! Exit status 0: nothing found. 1: findings. 2: the stream cannot be read, or the arguments are wrong.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::doctor::{Settings, SettingsError, examine};
use crate::runtime::human_duration::format_duration;
use crate::runtime::tasks::Tasks;
use clap::Args;

use super::{Failure, Outcome, block_on, print};

/// The options of an examination.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The URL of a stream, as a page would read it.
    url: String,
    /// A PEM file of certificate authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A token, sent as `Authorization: Bearer`.
    #[arg(long, env = "RILLGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file that contains the token, used instead of `--token`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A field of each request, such as `Cookie: session=1`; may be given more than once.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Ask as a page of this origin: https://app.example.com
    #[arg(long)]
    origin: Option<String>,
    /// How long to read: longer than two heartbeats, and than the limit that is looked for.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "40s")]
    duration: Duration,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> Outcome {
        let settings = self.settings()?;
        let tasks = Tasks::default();
        if std::io::stderr().is_terminal() {
            eprintln!("reading for {} …", format_duration(self.duration));
        }
        let report = block_on(examine(&settings, &tasks))?;
        let report = report.map_err(|reason| Failure::Arguments(format!("cannot read the stream: {reason}")))?;
        if self.json {
            print(&serde_json::to_string(&report).expect("text and numbers are valid JSON"))?;
        } else {
            print(&report.to_string())?;
        }
        match report.findings.len() {
            0 => Ok(()),
            1 => Err(Failure::Failed("1 finding".to_owned())),
            count => Err(Failure::Failed(format!("{count} findings"))),
        }
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let invalid = |error: SettingsError| Failure::Arguments(error.to_string());
        let mut settings = Settings::new(&self.url, self.ca.as_deref(), self.duration).map_err(invalid)?;
        for header in &self.headers {
            settings.add_field(header).map_err(invalid)?;
        }
        if let Some(origin) = &self.origin {
            settings.set_origin(origin).map_err(invalid)?;
        }
        if let Some(path) = &self.token_file {
            let token = std::fs::read_to_string(path)
                .map_err(|error| Failure::Arguments(format!("{}: {error}", path.display())))?;
            settings.set_token(&token).map_err(invalid)?;
        } else if let Some(token) = &self.token {
            settings.set_token(token).map_err(invalid)?;
        }
        Ok(settings)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = crate::config::parse_duration(text).map_err(ToOwned::to_owned)?;
    match duration <= LONGEST_READING && !duration.is_zero() {
        true => Ok(duration),
        false => Err("expected more than 0s, and at most 1h".to_owned()),
    }
}

/// The longest time for which a stream is read.
const LONGEST_READING: Duration = Duration::from_secs(60 * 60);
