//! HAProxy in front of several gateways, in round robin.
//!
//! Always true: it passes connections on as they are, holds a few KiB of each, and ends with the test.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::process::{Process, bound_to_this_process, server_path};
use super::wait::{DEADLINE, eventually};

/// A running HAProxy.
pub struct Haproxy {
    process: Process,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts HAProxy on these addresses, each with the gateways behind it, and waits until it takes connections.
    pub async fn start(frontends: &[(SocketAddr, Vec<SocketAddr>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haproxy.cfg");
        // Small buffers: a client that does not read must reach its gateway.
        let mut config = "global\n maxconn 5000\n nbthread 1\n tune.sndbuf.client 32768\n \
             tune.rcvbuf.server 32768\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n \
             retries 5\n option redispatch 1\n"
            .to_owned();
        for (number, (address, servers)) in frontends.iter().enumerate() {
            config += &format!("frontend f{number}\n bind {address}\n default_backend b{number}\n");
            config += &format!("backend b{number}\n balance roundrobin\n");
            for (server, address) in servers.iter().enumerate() {
                config += &format!(" server g{server} {address}\n");
            }
        }
        std::fs::write(&path, config).unwrap();
        let mut command = bound_to_this_process(&Command::new("haproxy"));
        let process = Process::start(command.args(["-db", "-f"]).arg(&path).env("PATH", server_path()));
        for (address, _) in frontends {
            eventually(DEADLINE, || async { TcpStream::connect(address).await.is_ok() }).await;
        }
        Self { process, _folder: folder }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.process.exit_status().is_none()
    }
}
