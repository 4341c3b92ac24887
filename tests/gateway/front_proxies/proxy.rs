//! A proxy of a recipe as processes: started, reloaded, ended.
//!
//! Always true: its processes end with the test, also when it is killed.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::recipe::{Addresses, Recipe};
use crate::doctor_fixture::installed;
use crate::support::certificates::{Authority, Identity};
use crate::support::process::{Process, bound_to_this_process, readable_folder, server_path};
use crate::support::wait::{DEADLINE, eventually};

/// A running proxy with a configuration of `deploy/proxies`.
pub struct RecipeProxy {
    recipe: Recipe,
    address: SocketAddr,
    processes: Vec<Process>,
    folder: TempDir,
}

impl RecipeProxy {
    /// Starts the recipe's program, with a configuration that `change` may have changed.
    pub async fn start(
        recipe: Recipe,
        authority: &Authority,
        addresses: &Addresses,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let folder = readable_folder();
        let ip = addresses.public.ip().to_string();
        let Identity { chain_pem, key_pem, .. } = authority.server_for(&format!("proxy-{ip}"), &[&ip, "localhost"]);
        std::fs::write(folder.path().join("server.pem"), &chain_pem).unwrap();
        std::fs::write(folder.path().join("server.key"), &key_pem).unwrap();
        std::fs::write(folder.path().join("both.pem"), chain_pem + &key_pem).unwrap();
        let text = change(recipe.text(addresses, folder.path()));
        std::fs::write(folder.path().join(recipe.file()), text).unwrap();

        let mut proxy = Self { recipe, address: addresses.public, processes: Vec::new(), folder };
        let process = proxy.run(&[]);
        proxy.processes.push(process);
        proxy.is_listening().await;
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loads the configuration again, as its page says, and waits until that is done. Streams of before are ended after a
    /// second if the configuration, or Envoy's argument here, says so.
    pub async fn reload(&mut self, has_limit: bool) {
        match self.recipe {
            Recipe::Nginx => {
                let id = std::fs::read_to_string(self.folder.path().join("nginx.pid")).unwrap();
                send("HUP", id.trim());
                self.processes[0].wait_line("gracefully shutting down", DEADLINE).await;
            }
            Recipe::HaproxyHttp | Recipe::HaproxyTcp => {
                let master = &self.processes[0];
                let lines = |text: &str| master.log().iter().filter(|line| line.contains(text)).count();
                eventually(DEADLINE, || async {
                    // A master that is not ready yet loses the signal.
                    if lines("Reloading HAProxy") == 0 {
                        master.signal("USR2");
                        let _ = timeout(RESENT_AFTER, master.wait_line("Reloading HAProxy", DEADLINE)).await;
                    }
                    lines("Loading success") >= 2
                })
                .await;
            }
            Recipe::Caddy => {
                // Caddy does nothing for a file that it has already.
                let file = self.folder.path().join(self.recipe.file());
                let text = std::fs::read_to_string(&file).unwrap().replace("dial_timeout 2s", "dial_timeout 3s");
                std::fs::write(file, text).unwrap();
                let admin = format!("unix/{}", self.folder.path().join("admin.sock").display());
                let mut command = self.command();
                command.args(["reload", "--config", "Caddyfile", "--adapter", "caddyfile", "--address", &admin]);
                let output = tokio::process::Command::from(command).kill_on_drop(true).output().await.unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            Recipe::Envoy => {
                let base = std::fs::read_to_string(self.folder.path().join("base")).unwrap();
                let limit: &[&str] =
                    if has_limit { &["--drain-time-s", "1", "--parent-shutdown-time-s", "2"] } else { &[] };
                let next = self.run(&[&["--restart-epoch", "1", "--base-id", base.trim()], limit].concat());
                self.processes[0].wait_line("shutting down admin due to child startup", DEADLINE).await;
                self.processes.push(next);
            }
        }
        self.is_listening().await;
    }

    /// Tells it to end, and waits until it has.
    pub async fn stop(&mut self) {
        self.processes[0].signal("TERM");
        self.processes[0].wait_exit(DEADLINE).await;
    }

    async fn is_listening(&self) {
        self.processes.last().expect("started").wait_listening(self.address).await;
    }

    /// Starts the program; `arguments` are Envoy's, of a process that takes over from another one.
    fn run(&self, arguments: &[&str]) -> Process {
        let mut command = self.command();
        let folder = self.folder.path();
        match self.recipe {
            Recipe::Nginx => {
                // A killed master leaves its workers, so the shell ends it when this process ends.
                command.args(["-c", "\"$@\" & read -r _; kill -s TERM $!", "sh", "nginx", "-p"]).arg(folder);
                command.args(["-c", "nginx.conf", "-g", "daemon off; error_log stderr notice;"]);
                return Process::start(&mut command);
            }
            Recipe::HaproxyHttp | Recipe::HaproxyTcp => command.args(["-W", "-db", "-f", self.recipe.file()]),
            Recipe::Caddy => command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]),
            Recipe::Envoy if arguments.is_empty() => command.args(["--use-dynamic-base-id", "--base-id-path", "base"]),
            Recipe::Envoy => command.args(arguments),
        };
        if self.recipe == Recipe::Envoy {
            command.args(["-c", "envoy.yaml", "--log-level", "warning", "--concurrency", "1"]);
        }
        Process::start(&mut bound_to_this_process(&command))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(match self.recipe {
            Recipe::Nginx => "sh".into(),
            Recipe::HaproxyHttp | Recipe::HaproxyTcp => "haproxy".into(),
            Recipe::Caddy => installed("caddy"),
            Recipe::Envoy => installed("envoy"),
        });
        command
            .env("PATH", server_path())
            .env("XDG_DATA_HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path());
        command.current_dir(self.folder.path());
        command
    }
}

/// Time after which a signal counts as lost.
const RESENT_AFTER: Duration = Duration::from_secs(1);

impl Drop for RecipeProxy {
    fn drop(&mut self) {
        if let Ok(id) = std::fs::read_to_string(self.folder.path().join("nginx.pid")) {
            send("TERM", id.trim());
        }
        // What the processes of a hot restart share, which none of them removes.
        if let Ok(base) = std::fs::read_to_string(self.folder.path().join("base")) {
            let _ = std::fs::remove_file(format!("/dev/shm/envoy_shared_memory_{}0", base.trim()));
        }
    }
}

fn send(signal: &str, id: &str) {
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, id]).status();
}
