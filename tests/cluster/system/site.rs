//! The gateways with their engine and the balancer before them. The wall clocks of two gateways are a minute wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::nats::NatsCluster;
use crate::support::network::Network;
use crate::support::process::{Process, bound_to_this_process, server_path};
use crate::support::process_clock::ProcessClock;
use crate::support::reserved_addr;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

/// Three gateways behind HAProxy in round robin, with a line of their own to each server of the engine.
pub struct Site {
    pub engine: NatsCluster,
    pub gateways: Vec<Node>,
    balancer: Process,
    address: SocketAddr,
    _folder: TempDir,
}

/// A gateway and its lines to the engine.
pub struct Node {
    pub gateway: Rillgate,
    pub clock: ProcessClock,
    lines: Vec<Network>,
}

/// The lease of the gateways.
pub const LEASE: Duration = Duration::from_secs(1);

/// The seconds by which the wall clock of each gateway is ahead.
const AHEAD: [i64; 3] = [60, 0, -60];

/// The replay of both routes.
pub const REPLAY: &str = "events = 100000\nbytes = \"64MiB\"\nage = \"1h\"\nverdict = \"event\"\nstore = \"cluster\"";

impl Site {
    /// Starts everything in front of the origin.
    pub async fn start(origin: &str) -> Self {
        Self::start_with(NatsCluster::start().await, origin).await
    }

    /// Starts the gateways and the balancer between an engine and the origin.
    pub async fn start_with(engine: NatsCluster, origin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("cluster.key");
        std::fs::write(&key, [7; 32].map(|byte: u8| format!("{byte:02x}")).concat()).unwrap();
        let mut gateways = Vec::new();
        let mut addresses = Vec::new();
        for ahead in AHEAD {
            let mut lines = Vec::new();
            for server in &engine.servers {
                lines.push(Network::to(server.address().parse().unwrap()).await);
            }
            let urls: Vec<_> = lines.iter().map(|line| format!("\"nats://{}\"", line.address())).collect();
            let address = reserved_addr::reserve();
            let setup = Setup::for_origin(origin)
                .upstream("backoff = { initial = \"10ms\", max = \"100ms\" }")
                .server("drain = { deadline = \"4s\", notice = \"0s\", spread = \"1s\" }")
                .limits(
                    "stall_timeout = \"1s\"\nconnections_per_ip = 2000\nsubscriptions_per_ip = 50000\nstreams_per_ip = 20000\nstreams = 20000",
                )
                .replay(REPLAY)
                .after(&format!(
                    "[[routes]]\nname = \"minted\"\npath = \"/minted/{{name}}\"\nupstream = \"origin\"\nauth = \"public\"\n\
                     [routes.replay]\n{REPLAY}\nids = \"replace\"\n[cluster]\nurls = [{}]\nkey = {{ file = \"{}\" }}\nlease = \"{}s\"\nreplicas = 3",
                    urls.join(", "),
                    key.display(),
                    LEASE.as_secs()
                ));
            let clock = ProcessClock::build();
            clock.set_wall_clock_ahead(ahead);
            let [library, numbers] = clock.environment();
            // An hour of debug lines would fill the test's memory.
            let environment = [(library.0, &*library.1), (numbers.0, &*numbers.1), ("RILLGATE_LOG", "info")];
            let gateway = Rillgate::start_with(&setup.toml_at(address), &environment).await;
            gateways.push(Node { gateway, clock, lines });
            addresses.push(address);
        }
        let address = reserved_addr::reserve();
        let balancer = balancer(&folder.path().join("haproxy.cfg"), address, &addresses);
        eventually(DEADLINE, || async { TcpStream::connect(address).await.is_ok() }).await;
        Self { engine, gateways, balancer, address, _folder: folder }
    }

    /// The address of the balancer.
    pub fn address(&self) -> SocketAddr {
        assert_eq!(self.balancer.exit_status(), None);
        self.address
    }
}

impl Node {
    /// Does the same to every line to the engine.
    pub fn lines(&self, act: fn(&Network)) {
        self.lines.iter().for_each(act);
    }
}

fn balancer(config: &Path, address: SocketAddr, gateways: &[SocketAddr]) -> Process {
    let servers: String = gateways
        .iter()
        .enumerate()
        .map(|(i, gateway)| format!(" server g{i} {gateway} check inter 200ms fall 2 rise 1\n"))
        .collect();
    let text = format!(
        "global\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 1h\n timeout server 1h\n \
         retries 5\n option redispatch 1\nfrontend public\n bind {address}\n default_backend gateways\n\
         backend gateways\n balance roundrobin\n{servers}"
    );
    haproxy(config, &text)
}

/// Starts HAProxy with this configuration, which is written to the file.
pub fn haproxy(file: &Path, text: &str) -> Process {
    std::fs::write(file, text).unwrap();
    let mut command = bound_to_this_process(&Command::new("haproxy"));
    Process::start(command.args(["-db", "-f"]).arg(file).env("PATH", server_path()))
}
