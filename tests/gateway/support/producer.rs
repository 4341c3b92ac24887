//! The producers of `tests/producers` (and Express), as child processes on an address that survives their restart.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::express;
use super::process::{Process, readable_folder, server_path};
use super::reserved_addr;
use super::wait::{DEADLINE, eventually};

/// A running producer; killed with its children when dropped.
pub struct Producer {
    start: fn(SocketAddr) -> Started,
    started: Started,
    address: SocketAddr,
}

/// A process, and the folder that it may use.
pub struct Started(Process, Option<TempDir>);

impl Producer {
    /// Starts the producer and waits until it accepts connections.
    pub async fn start(start: fn(SocketAddr) -> Started) -> Self {
        let address = reserved_addr::reserve();
        let producer = Self { start, started: start(address), address };
        producer.wait_up().await;
        producer
    }

    /// Returns the base URL, for an upstream's `urls`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the lines printed so far.
    pub fn log(&self) -> Vec<String> {
        self.started.0.log()
    }

    /// Kills the producer and its children at once, like a power failure.
    pub async fn kill(&self) {
        self.started.kill();
        self.started.0.wait_exit(DEADLINE).await;
        eventually(DEADLINE, || async { TcpStream::connect(self.address).await.is_err() }).await;
    }

    /// Starts the producer again on the same address.
    pub async fn start_again(&mut self) {
        self.started = (self.start)(self.address);
        self.wait_up().await;
    }

    async fn wait_up(&self) {
        eventually(DEADLINE, || async {
            let ended = self.started.0.exit_status();
            assert_eq!(ended, None, "{}", self.started.0.log().join("\n"));
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
    }
}

impl Started {
    /// Runs in a process group of its own, because servers have workers.
    fn new(command: &mut Command) -> Self {
        Self(Process::start(command.process_group(0)), None)
    }

    fn kill(&self) {
        let group = format!("-{}", self.0.id());
        let status = Command::new("sh").args(["-c", "kill -s KILL -- \"$0\"", &group]).status().expect("a shell");
        // It may have ended by itself.
        assert!(status.success() || self.0.exit_status().is_some(), "kill {group}: {status}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.0.exit_status().is_none() {
            self.kill();
        }
    }
}

pub fn express(at: SocketAddr) -> Started {
    Started::new(express::program("events.mjs").args(host_and_port(at)))
}

pub fn fastapi(at: SocketAddr) -> Started {
    let [host, port] = host_and_port(at);
    Started::new(python().args(["-m", "uvicorn", "fastapi_events:app", "--host", &host, "--port", &port]))
}

pub fn flask(at: SocketAddr) -> Started {
    let [host, port] = host_and_port(at);
    Started::new(python().args(["-m", "flask", "--app", "flask_events", "run", "--host", &host, "--port", &port]))
}

pub fn flask_on_gunicorn(at: SocketAddr) -> Started {
    // This disables the control socket that gunicorn would create in the user's home.
    let bind = ["--no-control-socket", "--bind", &at.to_string()];
    let workers = ["--worker-class", "gthread", "--threads", "8"];
    Started::new(python().args(["-m", "gunicorn"]).args(bind).args(workers).arg("flask_events:app"))
}

pub fn flask_on_waitress(at: SocketAddr) -> Started {
    Started::new(python().args(["-m", "waitress", "--listen", &at.to_string(), "flask_events:app"]))
}

pub fn raw_socket(at: SocketAddr) -> Started {
    Started::new(python().arg("raw_socket.py").args(host_and_port(at)))
}

pub fn tokens(at: SocketAddr) -> Started {
    Started::new(node("producers").arg("tokens.mjs").args(host_and_port(at)))
}

/// Starts the language model of `tests/producers/model.mjs`.
pub fn model(at: SocketAddr) -> Started {
    Started::new(node("producers").arg("model.mjs").args(host_and_port(at)))
}

pub fn axum(at: SocketAddr) -> Started {
    Started::new(Command::new(program("axum-events")).args(host_and_port(at)))
}

/// Starts nginx with its configuration and file in a temporary folder, where it also writes.
pub fn nginx(at: SocketAddr) -> Started {
    let folder = readable_folder();
    let text = std::fs::read_to_string(tests("producers").join("nginx.conf")).unwrap();
    std::fs::write(folder.path().join("nginx.conf"), text.replace("ADDRESS", &at.to_string())).unwrap();
    std::fs::copy(tests("producers").join("events.sse"), folder.path().join("events.sse")).unwrap();
    let program = which("nginx", &server_path());
    let mut started = Started::new(Command::new(program).arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]));
    started.1 = Some(folder);
    started
}

/// Returns the tests' Python, with the packages of `tests/producers/requirements.txt`.
///
/// # Panics
/// Panics if it is missing; `tests/run` creates it.
pub fn python() -> Command {
    let python = built("python/bin/python");
    let mut command = Command::new(python);
    command.current_dir(tests("producers")).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command
}

/// Returns a node command in a folder of `tests`.
pub fn node(folder: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(tests(folder));
    command
}

/// Returns a program of one of the Rust workspaces in `tests`.
///
/// # Panics
/// Panics if it is not built: `tests/run` does that.
pub fn program(name: &str) -> PathBuf {
    built(&format!("programs/debug/{name}"))
}

pub fn tests(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder)
}

fn built(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is missing: tests/run makes it", path.display());
    path
}

fn which(name: &str, path: &str) -> PathBuf {
    let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: tests/run installs it"))
}

fn host_and_port(at: SocketAddr) -> [String; 2] {
    [at.ip().to_string(), at.port().to_string()]
}
