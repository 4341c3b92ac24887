//! The gateways, as processes of their own, and the producer behind them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::{free_port, on_all_cores};
use crate::control::{Control, Instruction};
use crate::load::ClientSettings;
use crate::producer::ADDRESSES;
use crate::scan::Ids;
use crate::server::{self, ServerSettings};
use crate::{Outcome, process, settings};

/// The engine that gateways share their streams through.
pub struct Sharing {
    /// The addresses of its servers.
    pub urls: Vec<String>,
    /// The number of servers that have each record.
    pub replicas: usize,
    /// The lease of the gateways.
    pub lease: Duration,
}

/// Running gateways.
pub struct Gateways {
    gateways: Vec<Gateway>,
    producer: Child,
    feed: Control,
    token: String,
    settings: ServerSettings,
}

struct Gateway {
    child: Child,
    config: PathBuf,
    address: SocketAddr,
    admin: u16,
}

impl Gateways {
    /// Starts this number of gateways and waits until they are ready.
    pub fn start(settings: &ServerSettings, count: usize, sharing: Option<&Sharing>) -> Outcome<Self> {
        let folder = &settings.folder;
        fs::write(folder.join("secret"), [b's'; 32])?;
        fs::write(folder.join("cluster.key"), [b'k'; 32])?;
        let token = server::mint(&settings.rillgate, &folder.join("secret"))?;
        let (producer, feed) = server::produce(None)?;
        let mut gateways = Self { gateways: Vec::new(), producer, feed, token, settings: settings.clone() };
        for index in 0..count {
            let (port, admin) = (free_port()?, free_port()?);
            let mut text = settings::rillgate(settings, port, admin, gateways.feed.port);
            // More streams than a team has by default, opened as fast as the harness can.
            let limits = "[limits]\nstreams = 100000\nstreams_per_ip = 100000\n\
                          stream_opens_per_second = { ip = 100000, route = 100000 }\n";
            text = at_all_addresses(&text.replace("[limits]\n", limits));
            if let Some(sharing) = sharing {
                text = settings::shared(&text, &sharing.urls, sharing.replicas, sharing.lease);
            }
            let config = folder.join(format!("gateway-{index}.toml"));
            fs::write(&config, text)?;
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let child = gateways.spawn(&config)?;
            gateways.gateways.push(Gateway { child, config, address, admin });
        }
        (0..count).try_for_each(|index| gateways.wait_until_ready(index))?;
        Ok(gateways)
    }

    fn spawn(&self, config: &std::path::Path) -> Outcome<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(config.with_extension("log"))?;
        Ok(on_all_cores(&self.settings.rillgate).arg("serve").arg("--config").arg(config).stderr(log).spawn()?)
    }

    fn wait_until_ready(&self, index: usize) -> Outcome<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while !self
            .get(index, "/readyz?cluster")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
        {
            if Instant::now() > until {
                return Err(format!("gateway {index} is not ready").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Kills a gateway as `kill -9` does.
    pub fn kill(&mut self, index: usize) -> Outcome<()> {
        self.gateways[index].child.kill()?;
        self.gateways[index].child.wait()?;
        Ok(())
    }

    /// Starts a gateway that was killed, and waits until it is ready.
    pub fn restart(&mut self, index: usize) -> Outcome<()> {
        self.gateways[index].child = self.spawn(&self.gateways[index].config)?;
        self.wait_until_ready(index)
    }

    /// Returns the number of gateways.
    pub fn count(&self) -> usize {
        self.gateways.len()
    }

    /// Returns the address of a gateway.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.gateways[index].address
    }

    /// Returns the process of a gateway.
    pub fn process(&self, index: usize) -> u32 {
        self.gateways[index].child.id()
    }

    /// Returns the process of the producer.
    pub fn producer(&self) -> u32 {
        self.producer.id()
    }

    /// Returns the requests of clients of one gateway, for all streams.
    pub fn client_settings(&self, index: usize) -> ClientSettings {
        let fields = vec![("authorization".to_owned(), format!("Bearer {}", self.token))];
        let paths = (0..self.settings.streams).map(path).collect();
        ClientSettings {
            to: self.address(index),
            tls: None,
            h2_streams: 0,
            paths,
            fields,
            ids: Ids::Producers,
            first: 1,
            content: None,
            turns: None,
        }
    }

    /// Sends an instruction to the producer.
    pub fn send(&mut self, instruction: Instruction) -> Outcome<()> {
        self.feed.send(instruction)
    }

    /// Returns the number of events that the producer has sent.
    pub fn sent(&mut self) -> Outcome<u64> {
        self.feed.sent()
    }

    /// Waits until a gateway owns this number of streams.
    pub fn wait_for_owner(&self, index: usize, streams: usize) -> Outcome<()> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.owned(index) < streams {
            if Instant::now() > until {
                return Err(format!("gateway {index} owns {} of {streams} streams", self.owned(index)).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Returns the gateway that owns the only stream, if one does.
    pub fn owner(&self) -> Option<usize> {
        (0..self.count()).find(|index| self.owned(*index) > 0)
    }

    /// Returns the number of streams that a gateway owns.
    pub fn owned(&self, index: usize) -> usize {
        // Not from `/streams`: the list of 10,000 streams would cost more than what is measured.
        let metrics = self.get(index, "/metrics").unwrap_or_default();
        let owned = |line: &&str| line.starts_with("rillgate_cluster_streams{") && line.contains("role=\"own\"");
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<usize>().ok());
        metrics.lines().filter(owned).filter_map(value).sum()
    }

    /// Returns the answer of a gateway's admin port.
    fn get(&self, index: usize, path: &str) -> Outcome<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.gateways[index].admin))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Returns the path of a stream. Each route has its own address of the producer.
fn path(stream: usize) -> String {
    match stream % usize::from(ADDRESSES) {
        0 => format!("/feed/{stream}"),
        route => format!("/feed-{route}/{stream}"),
    }
}

/// Adds a route and an upstream for every further address of the producer.
fn at_all_addresses(config: &str) -> String {
    let one = config.split_once("[upstreams.producer]").map_or("", |(_, rest)| rest);
    let further = (1..ADDRESSES).map(|route| {
        let route_text =
            one.replace("producer", &format!("producer-{route}")).replace("feed", &format!("feed-{route}"));
        format!("\n[upstreams.producer-{route}]{}", route_text.replace("127.0.0.1", &format!("127.0.0.{}", route + 1)))
    });
    config.to_owned() + &further.collect::<String>()
}

impl Drop for Gateways {
    fn drop(&mut self) {
        let _ = self.producer.kill();
        let _ = self.producer.wait();
        for gateway in &mut self.gateways {
            process::stop(&mut gateway.child);
        }
    }
}
