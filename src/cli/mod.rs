//! The command line: arguments, commands and exit statuses.
//!
//! 0 done or drained, 1 failed while running, 2 invalid arguments, 78 invalid configuration (`EX_CONFIG`).

mod check;
mod cluster;
mod completions;
mod demo;
mod doctor;
mod explain;
mod health;
mod manual;
mod sd_notify;
mod serve;
mod token;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Problems};
use crate::runtime::workers;
use crate::telemetry::{LogQueue, logging};
use clap::{Parser, Subcommand, ValueEnum};

/// Shares one upstream Server-Sent Events connection among many clients.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 done or drained, 1 failed while running, 2 invalid arguments, 78 invalid configuration."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Format of log lines on standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(ConfigFile),
    /// Validate the configuration file and everything it names; print a summary, or every problem.
    Check(check::Check),
    /// Look at a cluster.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Run a producer, a gateway in front of it, and a page to look at. Needs nothing else.
    Demo(demo::Demo),
    /// Read a stream as a browser would, and say what stands between: exit status 0, or 1 with findings.
    Doctor(doctor::Doctor),
    /// Ask the admin port of a running gateway whether it is ready: exit status 0, or 1 with the reason.
    Health(health::Health),
    /// Mint a token for development.
    Token(token::Token),
    /// Show, step by step, which rule accepts or refuses a token for a path.
    Explain(explain::Explain),
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print a script that completes the command line in a shell.
    Completions(completions::Completions),
    /// Write the manual pages into a folder, for packages.
    #[command(hide = true)]
    Man(manual::Manual),
}

/// The path of the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "RILLGATE_CONFIG", default_value = "/etc/rillgate/rillgate.toml")]
    config: PathBuf,
}

/// The failure of a command.
pub(crate) enum Failure {
    /// The configuration is invalid.
    Config(String),
    /// The command failed while running.
    Failed(String),
    /// The arguments contradict each other.
    Arguments(String),
}

type Outcome = Result<(), Failure>;

/// Runs the command that the program's arguments name, and returns the exit status. Invalid arguments end the process with
/// status 2.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let format = match arguments.log_format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    // The output of these says everything; of an explanation, all but the reasons for missing keys.
    let quiet = match arguments.command {
        Command::Explain(_) => Some("off,rillgate::auth=warn".to_owned()),
        Command::Check(_) | Command::Cluster(_) => Some("warn,rillgate::cluster=off".to_owned()),
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Doctor(_)
        | Command::Health(_)
        | Command::Token(_)
        | Command::Schema
        | Command::Completions(_)
        | Command::Man(_) => None,
    };
    let filter = std::env::var("RILLGATE_LOG").ok().or(quiet);
    let queue = LogQueue::default();
    let filter = match logging::init(format, filter.as_deref(), queue.clone()) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("RILLGATE_LOG: {error}");
            return ExitCode::from(2);
        }
    };
    let writing = queue.clone();
    if let Err(error) = workers::thread("log", move || writing.write_to(std::io::stderr())) {
        eprintln!("cannot start the thread of the log: {error}");
        return ExitCode::FAILURE;
    }
    // Also if the command panics.
    let flush = queue.flush_on_drop();
    let outcome = match arguments.command {
        Command::Serve(file) => serve::run(&file, filter),
        Command::Check(check) => check.run(),
        Command::Cluster(command) => command.run(),
        Command::Demo(demo) => demo.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Health(health) => health.run(),
        Command::Token(token) => token.run(),
        Command::Explain(explain) => explain.run(),
        Command::Schema => print(&format!("{:#}", crate::config::schema())),
        Command::Completions(completions) => completions.run(),
        Command::Man(manual) => manual.run(),
    };
    drop(flush);
    let (status, text) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => (1, text),
        Err(Failure::Arguments(text)) => (2, text),
        Err(Failure::Config(text)) => (78, text),
    };
    eprintln!("{text}");
    ExitCode::from(status)
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|problems: Problems| Failure::Config(problems.to_string()))
    }

    /// Formats an error of a part like the errors of the configuration file.
    fn problem(&self, error: &impl std::fmt::Display) -> Failure {
        Failure::Config(format!("{}: {error}", self.config.display()))
    }
}

/// Writes a result to standard output. A closed pipe (`| head`) is not an error.
fn print(text: &str) -> Outcome {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs a future on the runtime for everything but clients, which have worker threads of their own.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot create a runtime: {error}")))?;
    Ok(runtime.block_on(future))
}
