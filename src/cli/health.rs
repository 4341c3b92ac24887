//! `rillgate health`: asks the admin port of a running gateway whether it is ready, or alive.
//!
//! Reads nothing but the address from the configuration file. So a mistake in the file, which the running gateway refuses
//! to load, does not make it unhealthy. One request, bounded in time and bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::future::{self, Either};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ConfigFile, Failure, Outcome, block_on, print};

/// The options of a health check.
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    file: ConfigFile,
    /// The address of the admin port, instead of the one in the configuration file.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Ask whether a restart would help (/livez), and not whether the gateway accepts traffic (/readyz).
    #[arg(long)]
    live: bool,
}

impl Health {
    pub(super) fn run(&self) -> Outcome {
        let address = match self.admin {
            Some(address) => address,
            None => self.configured().map_err(Failure::Failed)?,
        };
        let path = if self.live { "/livez" } else { "/readyz" };
        let asked = block_on(async { timeout(LONGEST_CHECK, ask(reachable(address), path)).await })?;
        let late = || Err(format!("no answer from the admin port at {address} within {} s", LONGEST_CHECK.as_secs()));
        let (status, body) = asked.unwrap_or_else(|_| late()).map_err(Failure::Failed)?;
        let state = if self.live { "live" } else { "ready" };
        match status {
            StatusCode::OK => print(state),
            _ => Err(Failure::Failed(format!("not {state}: {}", reason(status, &body)))),
        }
    }

    /// Reads the address of the admin port from the configuration file.
    fn configured(&self) -> Result<SocketAddr, String> {
        let file = self.file.config.display();
        let text = std::fs::read_to_string(&self.file.config).map_err(|error| format!("{file}: {error}"))?;
        let root: toml::Table = text.parse().map_err(|error| format!("{file}: {error}"))?;
        let admin = root.get("admin").ok_or_else(|| format!("{file}: there is no [admin], so nothing can be asked"))?;
        let address = admin.get("address").map_or(Some(DEFAULT_ADDRESS), toml::Value::as_str);
        match address.and_then(|address| address.parse::<SocketAddr>().ok()) {
            Some(address) if address.port() == 0 => {
                Err(format!("{file}: admin.address: the system chose the port: name it with --admin"))
            }
            Some(address) => Ok(address),
            None => Err(format!("{file}: admin.address: expected an IP address and a port")),
        }
    }
}

/// Replaces the address that means "all of them" by one that can be connected to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    (ip, address.port()).into()
}

/// Returns status and content of the answer to one request.
async fn ask(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot ask the admin port at {address}: {error}");
    let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.expect("a known path and an address are a valid request");
    let answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|error| failed(&error))?;
        Ok((status, body.to_bytes()))
    });
    // The answer may have arrived with the end of the connection.
    match future::select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

/// Returns the reasons in an answer on one line.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let Ok(report) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().next().unwrap_or_default().trim();
        return if line.is_empty() { format!("status {status}") } else { line.to_owned() };
    };
    let reasons = report["reasons"].as_object().into_iter().flatten();
    let reasons: Vec<_> =
        reasons.map(|(name, reason)| format!("{name}: {}", reason.as_str().unwrap_or_default())).collect();
    match report["status"].as_str() {
        Some("draining") => "draining".to_owned(),
        _ if reasons.is_empty() => format!("status {status}"),
        _ => reasons.join("; "),
    }
}

/// The longest time for a check.
const LONGEST_CHECK: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 64 * 1024;

/// The address of an admin port whose table names none.
const DEFAULT_ADDRESS: &str = "127.0.0.1:9464";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_on_one_line() {
        let unready = br#"{"status":"unready","reasons":{"issuer main":"no keys yet","workers":"late"}}"#;

        assert_eq!(reason(StatusCode::SERVICE_UNAVAILABLE, unready), "issuer main: no keys yet; workers: late");
        let draining = br#"{"status":"draining","reasons":{}}"#;
        assert_eq!(reason(StatusCode::SERVICE_UNAVAILABLE, draining), "draining");
        assert_eq!(reason(StatusCode::SERVICE_UNAVAILABLE, b"worker 1 is late\n"), "worker 1 is late");
        assert_eq!(reason(StatusCode::NOT_FOUND, b""), "status 404 Not Found");
    }

    #[test]
    fn the_address_of_all_interfaces_is_asked_on_the_loopback_interface() {
        let addresses = ["0.0.0.0:1", "[::]:1", "10.0.0.5:1"].map(|address| address.parse().expect("an address"));

        assert_eq!(addresses.map(|address| reachable(address).to_string()), ["127.0.0.1:1", "[::1]:1", "10.0.0.5:1"]);
    }
}
