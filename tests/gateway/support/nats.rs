//! nats-server as processes of ours: one for quick tests, three on addresses of their own for tests of a quorum.
//!
//! Always true: the servers end with the test, also when it is killed; nothing of them outlives it on disk.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::client::Client;
use super::process::{Process, bound_to_this_process};
use super::raw::Raw;
use super::small_disk::SmallDisk;
use super::wait::{DEADLINE, eventually};

/// A server, which can be killed and started again with what it had stored.
pub struct NatsServer {
    folder: PathBuf,
    address: String,
    process: Mutex<Option<Process>>,
    program: Mutex<PathBuf>,
    /// Of a server whose store is on a disk of its own.
    disk: Option<SmallDisk>,
    /// Of a server that stands alone.
    _owned: Option<TempDir>,
}

/// Three servers with one JetStream.
pub struct NatsCluster {
    pub servers: Vec<NatsServer>,
    _folder: TempDir,
}

impl NatsServer {
    /// Starts one server.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts one server with more lines of configuration.
    pub async fn start_with(extra: &str) -> Self {
        let port = free_port(&["127.0.0.1"]);
        Self::start_at(&format!("127.0.0.1:{port}"), extra).await
    }

    /// Starts one server at this address with more lines of configuration.
    pub async fn start_at(address: &str, extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self::prepared(folder.path(), "n1", address, extra);
        server._owned = Some(folder);
        server.restart();
        server.is_listening().await;
        server
    }

    fn prepared(parent: &Path, name: &str, address: &str, extra: &str) -> Self {
        let folder = parent.join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut config = format!("server_name: {name}\nlisten: \"{address}\"\n");
        if !extra.contains("jetstream") {
            writeln!(config, "jetstream {{ store_dir: {:?}, max_mem: 1GB, max_file: 4GB }}", folder.join("store"))
                .unwrap();
        }
        config.push_str(&extra.replace("STORE", &format!("{:?}", folder.join("store"))));
        std::fs::write(folder.join("nats.conf"), config).unwrap();
        let program = Mutex::new(binary());
        Self { folder, address: address.to_owned(), process: Mutex::new(None), program, disk: None, _owned: None }
    }

    /// Starts the server again. It does not wait until it listens.
    pub fn restart(&self) {
        let program = self.program.lock().clone();
        let mut command = match &self.disk {
            Some(disk) => disk.command(&program),
            None => bound_to_this_process(&Command::new(program)),
        };
        command.arg("-c").arg(self.folder.join("nats.conf"));
        *self.process.lock() = Some(Process::start(&mut command));
    }

    /// Waits until the server takes connections.
    pub async fn is_listening(&self) {
        eventually(DEADLINE, || async { tokio::net::TcpStream::connect(&self.address).await.is_ok() }).await;
    }

    /// Kills the server.
    pub fn kill(&self) {
        *self.process.lock() = None;
    }

    /// Tells the server to end, and waits until it has.
    pub async fn shut_down(&self) {
        self.signal("TERM");
        let has_ended = || self.process.lock().as_ref().is_none_or(|process| process.exit_status().is_some());
        eventually(DEADLINE, || async { has_ended() }).await;
        self.kill();
    }

    /// Uses another program from the next start on.
    pub fn use_program(&self, program: PathBuf) {
        *self.program.lock() = program;
    }

    /// Whether the server says that it has everything. Its configuration must have [`MONITOR`].
    pub async fn is_healthy(&self) -> bool {
        let log = self.log();
        let Some(line) = log.iter().find(|line| line.contains("Starting http monitor on")) else { return false };
        let monitor = line.rsplit(' ').next().unwrap().parse().unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n";
        Raw::exchange(&Client::http1(monitor), request).await.starts_with("HTTP/1.1 200")
    }

    /// The disk of its store.
    ///
    /// # Panics
    /// Panics if it has none of its own.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a disk of its own")
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        if let Some(process) = &*self.process.lock() {
            process.signal(name);
        }
    }

    /// Deletes what the server had stored. It must have been killed.
    pub fn forget(&self) {
        assert!(self.process.lock().is_none(), "the server runs");
        let _ = std::fs::remove_dir_all(self.folder.join("store"));
    }

    /// Changes the configuration for the next start.
    pub fn replace_in_config(&self, from: &str, to: &str) {
        let path = self.folder.join("nats.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// The address, as `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL without TLS.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The id of the process. 0: it is not running.
    pub fn id(&self) -> u32 {
        self.process.lock().as_ref().map_or(0, Process::id)
    }

    /// The lines that the server has printed since its start.
    pub fn log(&self) -> Vec<String> {
        self.process.lock().as_ref().map(Process::log).unwrap_or_default()
    }
}

impl NatsCluster {
    /// Starts three servers on 127.0.0.11 to 127.0.0.13, and waits until they have elected a leader.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts three servers with more lines of configuration each.
    pub async fn start_with(extra: &str) -> Self {
        let cluster = Self::prepared(extra);
        cluster.begin().await;
        cluster
    }

    /// Starts three servers of another program.
    pub async fn start_of(program: &Path, extra: &str) -> Self {
        let cluster = Self::prepared(extra);
        cluster.servers.iter().for_each(|server| server.use_program(program.to_owned()));
        cluster.begin().await;
        cluster
    }

    /// Starts three servers, each with a disk of this many MiB.
    pub async fn start_on_small_disks(mebibytes: u32) -> Self {
        let mut cluster = Self::prepared("");
        for server in &mut cluster.servers {
            let store = server.folder.join("store");
            std::fs::create_dir(&store).unwrap();
            server.disk = Some(SmallDisk::mount(&store, mebibytes).await);
        }
        cluster.begin().await;
        cluster
    }

    fn prepared(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hosts = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];
        let (port, route_port) = (free_port(&hosts), free_port(&hosts));
        let routes: Vec<_> = hosts.iter().map(|host| format!("nats://{host}:{route_port}")).collect();
        let servers: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(i, host)| {
                let routes = routes.join(", ");
                let cluster =
                    format!("cluster {{ name: c, listen: \"{host}:{route_port}\", routes: [{routes}] }}\n{extra}");
                NatsServer::prepared(folder.path(), &format!("n{}", i + 1), &format!("{host}:{port}"), &cluster)
            })
            .collect();
        Self { servers, _folder: folder }
    }

    async fn begin(&self) {
        for server in &self.servers {
            server.restart();
        }
        for server in &self.servers {
            server.is_listening().await;
        }
        self.has_leader().await;
    }

    /// Waits until a server has become the leader of JetStream.
    pub async fn has_leader(&self) {
        let leads = |line: &String| line.contains("Self is new JetStream cluster metadata leader");
        eventually(DEADLINE * 2, || async { self.servers.iter().any(|server| server.log().iter().any(leads)) }).await;
    }

    /// The URLs of all servers.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// Returns the server of this name: `n1` to `n3`.
    pub fn server(&self, name: &str) -> &NatsServer {
        let number: usize = name.trim_start_matches('n').parse().unwrap();
        &self.servers[number - 1]
    }
}

/// Returns a port that is free on all these addresses.
fn free_port(hosts: &[&str]) -> u16 {
    loop {
        let first = TcpListener::bind((hosts[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if hosts[1..].iter().all(|host| TcpListener::bind((*host, port)).is_ok()) {
            return port;
        }
    }
}

/// The program: `RILLGATE_NATS_SERVER`, or nats-server on the path if it is new enough, or the one that tests/run installs.
///
/// # Panics
/// Panics if there is none.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RILLGATE_NATS_SERVER") {
        return path.into();
    }
    let output = Command::new("nats-server").arg("--version").output();
    if output.is_ok_and(|output| is_new_enough(&String::from_utf8_lossy(&output.stdout))) {
        return "nats-server".into();
    }
    installed("2.15.1")
}

/// The program of this version that tests/run installs.
///
/// # Panics
/// Panics if it is not there.
pub fn installed(version: &str) -> PathBuf {
    let folder = format!("target/tools/nats-{version}");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("bin/nats-server");
    assert!(program.exists(), "no nats-server: tests/run installs {}", program.display());
    program
}

/// Reads `nats-server: v2.15.1`.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.rsplit('v').next().unwrap_or_default().split('.').map(|n| n.trim().parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found >= (2, 11)
}

/// The line of a server's configuration that makes it tell its health.
pub const MONITOR: &str = "http: \"127.0.0.1:-1\"";

/// How long an engine of three needs after one of them was killed: an election takes some seconds.
pub const ELECTION: Duration = Duration::from_secs(40);
