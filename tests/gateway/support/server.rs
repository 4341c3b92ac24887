//! The gateway under test: the built binary with a configuration of the test.
//!
//! Always true: it listens on ports that the system chose, which the test reads from its log. When dropped, it is
//! killed and its folder removed. A panic in its log fails the test.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Process, bound_to_this_process};
use super::wait::{DEADLINE, eventually};

/// A running gateway, with all methods of [`Process`]: `log`, `wait_line`, `signal`, `wait_exit`.
pub struct Rillgate {
    process: Process,
    folder: TempDir,
    listening: Vec<Listening>,
    /// The variables that the test added to its environment.
    environment: Vec<(String, String)>,
}

/// A bound address, read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub address: SocketAddr,
    pub tls: bool,
    /// The whole log line.
    pub line: String,
}

impl Rillgate {
    /// Starts `serve` with this TOML and waits until every listener (and the admin port, if any) is bound.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// Starts the gateway with variables in its environment.
    pub async fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        let folder = folder(config);
        let (process, listening) = serve(folder.path(), Self::command().envs(environment.iter().copied())).await;
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { process, folder, listening, environment }
    }

    /// Starts the gateway through a command that executes the program in its arguments.
    pub async fn start_by(command: &[&str], config: &str) -> Self {
        let folder = folder(config);
        let program = Self::command();
        let mut by = Command::new(command[0]);
        by.args(&command[1..]).arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => by.env(name, value),
                None => by.env_remove(name),
            };
        }
        let (process, listening) = serve(folder.path(), &mut by).await;
        Self { process, folder, listening, environment: Vec::new() }
    }

    /// Kills it without notice and starts it again with what is in its folder and environment, as a supervisor would. The
    /// addresses stay only if the configuration names them: see [`reserve`](super::reserved_addr::reserve).
    pub async fn restart(&mut self) {
        self.kill().await;
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        (self.process, self.listening) = serve(self.folder.path(), Self::command().envs(environment)).await;
    }

    /// Kills it without notice, unless it has ended. [`Self::restart`] starts it again.
    pub async fn kill(&self) {
        if self.process.exit_status().is_none() {
            self.process.signal("KILL");
            self.process.wait_exit(DEADLINE).await;
        }
    }

    /// Returns a command for the built binary, with a quiet environment, for commands other than `serve`.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rillgate"));
        command.env_remove("RILLGATE_CONFIG").env("RILLGATE_LOG", "debug").env("NO_COLOR", "1");
        command
    }

    /// Returns the address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.listening.iter().find(|listening| !listening.is_admin()).expect("a listener").address
    }

    /// Returns every bound address in the order of the log.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Returns the address of the admin port.
    pub fn admin(&self) -> SocketAddr {
        self.listening.iter().find(|listening| listening.is_admin()).expect("an admin port").address
    }

    /// Returns the folder of its configuration, which is the base of relative paths.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the configuration file atomically; the test sends HUP.
    pub fn rewrite(&self, config: &str) -> PathBuf {
        let path = self.folder.path().join("rillgate.toml");
        let next = self.folder.path().join("rillgate.toml.next");
        std::fs::write(&next, config).unwrap();
        std::fs::rename(next, &path).unwrap();
        path
    }
}

impl Deref for Rillgate {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Listening {
    /// Whether it is the admin port.
    pub fn is_admin(&self) -> bool {
        self.line.contains("admin")
    }

    /// Parses `listening address=127.0.0.1:8443 tls=true` from a text or JSON log line.
    pub fn parse(line: &str) -> Option<Self> {
        let plain = without_colours(line);
        plain.find("listening")?;
        let address = field(&plain, "address")?.parse().ok()?;
        let tls = field(&plain, "tls").is_some_and(|tls| tls == "true");
        Some(Self { address, tls, line: plain })
    }
}

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rillgate.toml"), config).unwrap();
    folder
}

async fn serve(folder: &Path, command: &mut Command) -> (Process, Vec<Listening>) {
    let path = folder.join("rillgate.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let parsed: toml::Table = config.parse().unwrap_or_else(|error| panic!("the test's TOML: {error}"));
    let listeners = parsed.get("listeners").and_then(toml::Value::as_array).map_or(0, Vec::len);
    let expected = listeners + usize::from(parsed.contains_key("admin"));

    command.arg("serve").arg("--config").arg(path).current_dir(folder);
    let process = Process::start(&mut bound_to_this_process(command));
    let listening = wait_listening(&process, expected).await;
    (process, listening)
}

/// Waits until the log has `expected` bound addresses.
pub async fn wait_listening(process: &Process, expected: usize) -> Vec<Listening> {
    let found = || process.log().iter().filter_map(|line| Listening::parse(line)).collect::<Vec<_>>();
    eventually(DEADLINE, || async { found().len() >= expected || process.exit_status().is_some() }).await;
    let found = found();
    assert!(
        found.len() >= expected,
        "bound {} of {expected} addresses; status {:?}; log:\n{}",
        found.len(),
        process.exit_status(),
        process.log().join("\n")
    );
    found
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let text = format!("{name}=");
    let json = format!("\"{name}\":");
    let at = line.find(&text).map(|at| at + text.len()).or_else(|| line.find(&json).map(|at| at + json.len()))?;
    let value = line[at..].trim_start_matches('"');
    value.split(['"', ' ', ',', '}']).next()
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            rest.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            plain.push(character);
        }
    }
    plain
}
