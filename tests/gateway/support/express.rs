//! The Express producer of `tests/express`, as a child process.

use std::net::SocketAddr;
use std::process::Command;

use super::client::Client;
use super::process::Process;
use super::producer::{node, tests};
use super::wait::DEADLINE;

/// A running Express producer; killed when dropped.
pub struct Express {
    process: Process,
    address: SocketAddr,
}

impl Express {
    /// Starts the producer with node and waits for its port.
    pub async fn start() -> Self {
        let process = Process::start(&mut program("producer.mjs"));
        let line = process.wait_line("port=", DEADLINE).await;
        let port = line.trim().trim_start_matches("port=").parse().expect("a port");
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL, for an upstream's `urls`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the SSE connections that are open now, and those ever opened.
    pub async fn connections(&self) -> (u64, u64) {
        let stats = self.stats().await;
        (stats["open"].as_u64().expect("a count"), stats["total"].as_u64().expect("a count"))
    }

    /// Returns `/stats`: `open`, `total`, and `lastEventIds` of each connection (null if none was sent).
    pub async fn stats(&self) -> serde_json::Value {
        let mut response = Client::http1(self.address).subscribe("/stats", &[("accept", "application/json")]).await;
        serde_json::from_str(&response.text().await).expect("JSON")
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// A program of `tests/express`.
///
/// # Panics
/// Panics if its packages are not installed: `tests/run` does that, or `npm ci` in `tests/express`.
pub fn program(script: &str) -> Command {
    let packages = tests("express").join("node_modules");
    assert!(packages.is_dir(), "run `npm ci` in tests/express first (tests/run does)");
    let mut command = node("express");
    command.arg(script);
    command
}
