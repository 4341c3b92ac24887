//! The demo's gateways: processes of this program that are started again when they are killed.
//!
//! A gateway prints its addresses as one line of JSON when it listens, and ends when its standard input is closed. So none
//! outlives the demo, however the demo ends.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::admin_client::get_json;
use crate::demo::producer::Spawn;

/// The line that a gateway of the demo prints when it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayLine {
    /// The address for clients.
    pub address: SocketAddr,
    /// The address of the admin port.
    pub admin: SocketAddr,
}

/// The gateways of the demo.
#[derive(Debug)]
pub struct DemoGateways {
    gateways: Vec<GatewayProcess>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct GatewayProcess {
    name: String,
    arguments: Vec<PathBuf>,
    kill: Notify,
    state: Mutex<GatewayState>,
}

#[derive(Debug, Default)]
struct GatewayState {
    /// Present while it runs.
    line: Option<GatewayLine>,
    /// The streams that its admin port listed last.
    streams: Vec<Value>,
}

impl DemoGateways {
    /// Starts a gateway with each of these arguments of `program`. They are named `gateway 1` and so on.
    pub fn start(program: &std::path::Path, arguments: Vec<Vec<PathBuf>>, spawn: &Spawn) -> Arc<Self> {
        let gateways = arguments.into_iter().enumerate().map(|(index, arguments)| GatewayProcess {
            name: format!("gateway {}", index + 1),
            arguments,
            kill: Notify::new(),
            state: Mutex::default(),
        });
        let all = Arc::new(Self { gateways: gateways.collect(), stop: CancellationToken::new() });
        for index in 0..all.gateways.len() {
            let (gateways, program) = (all.clone(), program.to_owned());
            spawn(all.clone().until_stopped(async move { gateways.gateways[index].keep_running(&program).await }));
            let gateways = all.clone();
            spawn(all.clone().until_stopped(async move { gateways.gateways[index].keep_listing().await }));
        }
        all
    }

    /// Stops all gateways and everything that was started for them.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Wraps work so that it ends when the gateways are stopped.
    pub(super) fn until_stopped(
        self: Arc<Self>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = self.stop.run_until_cancelled(work).await;
        })
    }

    /// Returns the addresses of those that run.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().filter_map(|gateway| Some(gateway.state.lock().line?.address)).collect()
    }

    /// Completes when all of them run, or after ten seconds.
    ///
    /// # Errors
    /// Some of them do not run by then.
    pub async fn ready(&self) -> io::Result<()> {
        let all_run = async {
            while self.addresses().len() < self.gateways.len() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the gateways did not start within 10 s");
        timeout(Duration::from_secs(10), all_run).await.map_err(|_| late())
    }

    /// Returns the number of subscribers by the key of the stream, of all gateways.
    pub fn subscribers(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for gateway in &self.gateways {
            for stream in &gateway.state.lock().streams {
                if let (Some(key), Some(count)) = (stream["key"].as_str(), stream["subscribers"].as_u64()) {
                    *sum.entry(key.to_owned()).or_default() += count;
                }
            }
        }
        sum
    }

    /// Describes the gateways and their streams in JSON, for the page.
    pub(super) fn describe(&self) -> Value {
        let gateways = self.gateways.iter().map(|gateway| {
            let state = gateway.state.lock();
            let streams = state.streams.iter().map(|stream| {
                json!({ "key": stream["key"], "role": stream["role"], "term": stream["term"],
                        "subscribers": stream["subscribers"], "newest_id": stream["newest_id"] })
            });
            json!({ "name": gateway.name, "runs": state.line.is_some(), "admin": state.line.map(|line| line.admin),
                    "streams": streams.collect::<Vec<_>>() })
        });
        json!({ "gateways": gateways.collect::<Vec<_>>() })
    }

    /// Kills the gateway that owns the most streams, as `kill -9` does. Returns its name. `None`: none owns any.
    pub fn kill_owner(&self) -> Option<String> {
        let owned = |gateway: &&GatewayProcess| {
            gateway.state.lock().streams.iter().filter(|stream| stream["role"] == "own").count()
        };
        let owner = self.gateways.iter().max_by_key(owned).filter(|gateway| owned(gateway) > 0)?;
        owner.kill.notify_one();
        Some(owner.name.clone())
    }
}

impl GatewayProcess {
    /// Runs the process, and runs it again a while after it ended.
    async fn keep_running(&self, program: &std::path::Path) {
        loop {
            if let Err(error) = self.run(program).await {
                warn!(gateway = self.name, %error, "gateway ended");
            }
            *self.state.lock() = GatewayState::default();
            sleep(RESTART_DELAY).await;
        }
    }

    /// Runs the process until it ends or is killed.
    async fn run(&self, program: &std::path::Path) -> io::Result<()> {
        let mut process = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the demo, which stops the gateways.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        // Held while it runs: waiting for the process would close it.
        let _input = process.stdin.take();
        let line = first_line(&mut process).await?;
        self.state.lock().line = Some(line);
        info!(gateway = self.name, address = %line.address, "gateway started");
        tokio::select! {
            status = process.wait() => Err(io::Error::other(format!("{}", status?))),
            () = self.kill.notified() => {
                process.kill().await?;
                info!(gateway = self.name, "gateway killed");
                Ok(())
            }
        }
    }

    /// Asks the admin port for its streams twice a second.
    async fn keep_listing(&self) {
        loop {
            sleep(LIST_INTERVAL).await;
            let Some(line) = self.state.lock().line else { continue };
            if let Ok(mut listed) = get_json(line.admin, "/streams").await {
                let streams = listed["streams"].as_array_mut().map(std::mem::take).unwrap_or_default();
                let mut state = self.state.lock();
                // It may have ended meanwhile.
                if state.line == Some(line) {
                    state.streams = streams;
                }
            }
        }
    }
}

/// Reads the line that the process prints when it listens.
async fn first_line(process: &mut Child) -> io::Result<GatewayLine> {
    let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let line = timeout(Duration::from_secs(10), BufReader::new(output).lines().next_line()).await;
    let line = line.map_err(|_| io::ErrorKind::TimedOut)??.ok_or(io::ErrorKind::UnexpectedEof)?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

/// Long enough to see the takeover.
const RESTART_DELAY: Duration = Duration::from_secs(5);

const LIST_INTERVAL: Duration = Duration::from_millis(500);
