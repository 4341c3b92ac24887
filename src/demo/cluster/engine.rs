//! The demo's engine: a nats-server of this machine, with a folder and a port of its own.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// A running nats-server. Dropping it kills it.
#[derive(Debug)]
pub struct DemoEngine {
    url: String,
    _process: Child,
}

/// The reason why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// No folder of `PATH` has the program.
    #[error("cannot find nats-server on the PATH; the demo of several gateways needs version 2.11 or later")]
    NotFound,
    /// The program is too old.
    #[error("{} is version {version}; the demo of several gateways needs 2.11 or later", .program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version, as it says.
        version: String,
    },
    /// The program cannot be run, or did not begin to listen.
    #[error("cannot start {}: {error}", .program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

impl DemoEngine {
    /// Starts the first nats-server of `search` (the value of `PATH`) on a free port of 127.0.0.1, with its files in
    /// `folder`.
    ///
    /// # Errors
    /// There is none, it is too old, or it does not listen within ten seconds.
    pub async fn start(search: Option<&OsStr>, folder: &Path) -> Result<Self, EngineStartError> {
        let folders = search.map(std::env::split_paths).into_iter().flatten();
        let mut programs = folders.map(|folder| folder.join("nats-server"));
        let program = programs.find(|program| program.is_file()).ok_or(EngineStartError::NotFound)?;
        let failed = |error| EngineStartError::Failed { program: program.clone(), error };
        let output = Command::new(&program).arg("--version").output().await.map_err(failed)?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.trim().rsplit(' ').next().unwrap_or_default().trim_start_matches('v');
        if !is_new_enough(version) {
            return Err(EngineStartError::TooOld { program, version: version.chars().take(40).collect() });
        }
        let process = Command::new(&program)
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
            .arg(folder.join("engine"))
            .arg("--ports_file_dir")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the demo, which stops the engine last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let ports = process.id().map(|id| folder.join(format!("nats-server_{id}.ports")));
        let url = listening(&ports.unwrap_or_default()).await.map_err(failed)?;
        Ok(Self { url, _process: process })
    }

    /// Returns the address, such as `nats://127.0.0.1:4222`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Returns true for version 2.11 and later.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    major.zip(minor).is_some_and(|version| version >= (2, 11))
}

/// Waits until the server has written its ports to this file. Returns its first address for clients.
async fn listening(ports: &Path) -> io::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // The file may be read while it is written.
        let text = std::fs::read_to_string(ports).unwrap_or_default();
        if let Ok(ports) = serde_json::from_str::<Value>(&text)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return Ok(url.to_owned());
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not listen within 10 s"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_2_11_on_are_new_enough() {
        for (version, is_enough) in [
            ("2.11.0", true),
            ("2.15.1", true),
            ("3.0.0-beta.1", true),
            ("2.10.29", false),
            ("", false),
            ("x.y", false),
        ] {
            assert_eq!(is_new_enough(version), is_enough, "{version}");
        }
    }

    #[tokio::test]
    async fn without_nats_server_on_the_path_the_error_says_what_is_needed() {
        let empty = tempfile::tempdir().unwrap();

        let error = DemoEngine::start(Some(empty.path().as_os_str()), empty.path()).await.unwrap_err();

        assert!(error.to_string().contains("nats-server on the PATH"), "{error}");
    }

    #[tokio::test]
    async fn an_old_nats_server_is_refused_by_its_version() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nats-server");
        std::fs::write(&program, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();

        let error = DemoEngine::start(Some(folder.path().as_os_str()), folder.path()).await.unwrap_err();

        assert!(error.to_string().contains("is version 2.9.10"), "{error}");
    }
}
