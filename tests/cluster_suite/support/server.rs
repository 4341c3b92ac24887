//! Three gateways of one cluster behind HAProxy in round robin, as tests of one gateway see it.
//!
//! Always true: each has an engine of its own, a real nats-server. A client has no influence on which gateway it reaches.
//! A test that restarts or signals its gateway does so to all of them. [`Gateways`] names the tests that have one gateway,
//! without HAProxy.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::figures::page;
use super::haproxy::Haproxy;
use super::nats::NatsServer;
use super::reserved_addr::reserve;
use super::shared_config::SharedConfig;
use super::single;
use super::wait::{DEADLINE, eventually};
use crate::left_out::Gateways;

pub use super::single::Listening;

/// The gateways, which a test takes for one.
pub struct Rillgate {
    gateways: Vec<single::Rillgate>,
    balancer: Option<Haproxy>,
    listening: Vec<Listening>,
    engine: NatsServer,
    /// The folder with the key of the cluster.
    folder: TempDir,
    listeners: Vec<SocketAddr>,
    has_admin: bool,
    which: Gateways,
}

impl Rillgate {
    /// Starts the gateways with this TOML, and waits until each is ready.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// Starts the gateways with variables in their environment.
    pub async fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_each(config, async |toml| single::Rillgate::start_with(toml, environment).await).await
    }

    /// Starts each gateway through a command that executes the program in its arguments.
    pub async fn start_by(command: &[&str], config: &str) -> Self {
        Self::start_each(config, async |toml| single::Rillgate::start_by(command, toml).await).await
    }

    async fn start_each(config: &str, start: impl AsyncFn(&str) -> single::Rillgate) -> Self {
        let which = Gateways::of_this_test();
        let engine = NatsServer::start_at(&engine_address(), "max_payload: 4MB").await;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join(KEY_FILE);
        std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
        let SharedConfig { toml, listeners, has_admin } = SharedConfig::new(config, &engine.url(), &key, which);
        let starting = (0..if which == Gateways::Three { 3 } else { 1 }).map(|_| start(&toml));
        let gateways = join_all(starting).await;
        let mut all =
            Self { gateways, balancer: None, listening: Vec::new(), engine, folder, listeners, has_admin, which };
        all.are_ready().await;
        all
    }

    /// Waits until each gateway is ready, and puts HAProxy in front of them.
    async fn are_ready(&mut self) {
        for gateway in &self.gateways {
            eventually(DEADLINE, || async { page(gateway.admin(), "/readyz").await.0 == 200 }).await;
        }
        let first = self.gateways[0].listening();
        self.listening = first.iter().filter(|one| self.has_admin || !one.is_admin()).cloned().collect();
        if self.gateways.len() == 1 {
            return;
        }
        let behind = |index: usize| {
            let public = |gateway: &single::Rillgate| {
                gateway
                    .listening()
                    .iter()
                    .filter(|one| !one.is_admin())
                    .nth(index)
                    .expect("as many as configured")
                    .address
            };
            self.gateways.iter().map(public).collect::<Vec<_>>()
        };
        let mut backends = Vec::new();
        let public = self.listening.iter_mut().filter(|one| !one.is_admin());
        for (index, (listening, asked)) in public.zip(&self.listeners).enumerate() {
            listening.address = if asked.port() == 0 { reserve() } else { *asked };
            backends.push((listening.address, behind(index)));
        }
        self.balancer = Some(Haproxy::start(&backends).await);
    }

    /// Kills all of them without notice, and starts them again. Their engine goes on.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.balancer = None;
        join_all(self.gateways.iter_mut().map(single::Rillgate::restart)).await;
        self.are_ready().await;
    }

    /// Kills all of them without notice.
    pub async fn kill(&self) {
        join_all(self.gateways.iter().map(single::Rillgate::kill)).await;
    }

    /// Returns a command for the built binary.
    pub fn command() -> Command {
        single::Rillgate::command()
    }

    /// Returns the balancer's address for the first listener.
    pub fn address(&self) -> SocketAddr {
        self.listening.iter().find(|listening| !listening.is_admin()).expect("a listener").address
    }

    /// Returns the balancer's address for every listener, and the admin port of the first gateway.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Returns the admin port of the first gateway.
    pub fn admin(&self) -> SocketAddr {
        self.gateways[0].admin()
    }

    /// Returns the gateways themselves.
    pub fn gateways(&self) -> &[single::Rillgate] {
        &self.gateways
    }

    /// Returns the folder of the first gateway.
    pub fn folder(&self) -> &Path {
        self.gateways[0].folder()
    }

    /// Replaces the configuration of all.
    pub fn rewrite(&self, config: &str) -> PathBuf {
        let key = self.folder.path().join(KEY_FILE);
        let config = SharedConfig::new(config, &self.engine.url(), &key, self.which).toml;
        let mut paths: Vec<_> = self.gateways.iter().map(|gateway| gateway.rewrite(&config)).collect();
        paths.swap_remove(0)
    }

    /// Sends a signal to all.
    pub fn signal(&self, name: &str) {
        self.gateways.iter().for_each(|gateway| gateway.signal(name));
    }

    /// Waits until all have ended. Returns a status that is not a success, if there is one.
    pub async fn wait_exit(&self, deadline: Duration) -> ExitStatus {
        let statuses = join_all(self.gateways.iter().map(|gateway| gateway.wait_exit(deadline))).await;
        statuses.iter().copied().find(|status| !status.success()).unwrap_or(statuses[0])
    }

    /// Returns the exit status of the first that has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.gateways.iter().find_map(|gateway| gateway.exit_status())
    }

    /// Waits until one of them has logged a line that contains `text`.
    pub async fn wait_line(&self, text: &str, deadline: Duration) -> String {
        let find = || self.log().into_iter().find(|line| line.contains(text));
        eventually(deadline, || async { find().is_some() }).await;
        find().expect("logs only grow")
    }

    /// Returns the lines of all.
    pub fn log(&self) -> Vec<String> {
        self.gateways.iter().flat_map(|gateway| gateway.log()).collect()
    }
}

/// Returns a free address for an engine, of an IP address that nothing but engines uses: hundreds of them start while
/// other tests take ports of 127.0.0.1.
fn engine_address() -> String {
    static HOST: LazyLock<IpAddr> = LazyLock::new(|| reserve().ip());
    let free = TcpListener::bind((*HOST, 0)).unwrap();
    free.local_addr().unwrap().to_string()
}

const KEY_FILE: &str = "cluster.key";
