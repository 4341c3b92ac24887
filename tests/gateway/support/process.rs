//! A child process whose log is read line by line while it runs.
//!
//! Always true: the process does not outlive its `Process`, nor, with [`bound_to_this_process`], a test that is killed; a
//! panic anywhere in its log fails the test that started it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::wait::{DEADLINE, eventually};

/// A running child; killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// A log whose readers wait. Other methods that look at it wait too.
#[expect(dead_code, reason = "it is held for its drop")]
pub struct PausedLog<'p>(MutexGuard<'p, Vec<String>>);

impl Process {
    /// Starts the command with both its outputs read into one log. Its standard input closes when this process ends.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_input(command, Stdio::piped())
    }

    /// Starts the program with this standard input, which may be a socket.
    pub fn start_with_input(command: &mut Command, input: Stdio) -> Self {
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (out, err) = (child.stdout.take().expect("piped above"), child.stderr.take().expect("piped above"));
        let readers = vec![read_lines(out, log.clone()), read_lines(err, log.clone())];
        Self { child: Mutex::new(child), log, readers }
    }

    /// Returns the lines printed so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Stops reading the log until the guard is dropped, so that the process meets full pipes.
    pub fn pause_log(&self) -> PausedLog<'_> {
        PausedLog(self.log.lock())
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// Panics with the log if no line comes in time or the process ends before.
    pub async fn wait_line(&self, text: &str, deadline: Duration) -> String {
        let find = || self.log.lock().iter().find(|line| line.contains(text)).cloned();
        let end = tokio::time::Instant::now() + deadline;
        loop {
            let ended = self.exit_status();
            if let Some(line) = find() {
                return line;
            }
            // The last lines may still be in the pipe when the exit status is already known.
            let read_out = self.readers.iter().all(std::thread::JoinHandle::is_finished);
            if (ended.is_some() && read_out) || tokio::time::Instant::now() > end {
                panic!("no line with `{text}` within {deadline:?}; status {ended:?}; log:\n{}", self.log().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until it accepts connections at this address.
    ///
    /// # Panics
    /// Panics with the log if the process ends before, or does not listen in time.
    pub async fn wait_listening(&self, address: SocketAddr) {
        eventually(DEADLINE, || async {
            assert_eq!(self.exit_status(), None, "{}", self.log().join("\n"));
            TcpStream::connect(address).await.is_ok()
        })
        .await;
    }

    /// Sends a signal by its name without `SIG`: `TERM`, `HUP`, `STOP`, `CONT`, `KILL`.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        // The shell's builtin kill: not every machine has the program, and the crate has no unsafe code.
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().expect("a shell");
        assert!(status.success(), "kill -s {name} {id}: {status}");
    }

    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// Returns the exit status, if the process has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().expect("our own child")
    }

    /// Waits until the process has ended.
    pub async fn wait_exit(&self, deadline: Duration) -> ExitStatus {
        eventually(deadline, || async { self.exit_status().is_some() }).await;
        self.exit_status().expect("it has ended")
    }
}

/// The number of log lines in a failure message.
const SHOWN_LINES: usize = 300;

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        // A grandchild may hold the pipes open; the lines read so far are then enough.
        for reader in self.readers.drain(..).filter(std::thread::JoinHandle::is_finished) {
            let _ = reader.join();
        }
        let log = self.log.lock();
        let panicked = log.iter().any(|line| line.contains("panicked at"));
        if std::thread::panicking() {
            let shown = &log[log.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- the last lines of the process' log ---\n{}\n---", shown.join("\n"));
        } else {
            assert!(!panicked, "the process panicked:\n{}", log.join("\n"));
        }
    }
}

/// Returns the same command for a process that ends with the thread that starts it, also when this process is killed.
/// Without setpriv on the path, it may outlive a killed one.
pub fn bound_to_this_process(command: &Command) -> Command {
    static HAS_SETPRIV: LazyLock<bool> = LazyLock::new(|| {
        let output = Command::new("setpriv").arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    });
    let mut bound = match *HAS_SETPRIV {
        true => Command::new("setpriv"),
        false => Command::new(command.get_program()),
    };
    if *HAS_SETPRIV {
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    }
    bound.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

/// Returns a `PATH` on which Debian's servers are found too: it installs them in /usr/sbin, which is not in every user's.
pub fn server_path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Makes a folder that the workers of a server can read, which run as another user if root starts it.
pub fn readable_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), readable).unwrap();
    folder
}

fn read_lines(from: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            log.lock().push(String::from_utf8_lossy(&line).into_owned());
        }
    })
}
