//! What is said to the service manager (`sd_notify(3)`): ready, reloading, leaving, and that we are alive.
//!
//! Says nothing where nobody asked (`NOTIFY_SOCKET`, `WATCHDOG_USEC`). A manager that does not listen never holds us up.
//! That we are alive is said only after every worker has got to a task of ours, so one that is stuck ends the pings.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rillgate::{Handle, Stage};
use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tracing::{debug, error, warn};

/// How often the manager is told what the gateway is at.
const STATUS: Duration = Duration::from_secs(5);

/// How much longer a gateway that leaves asks for each time. It is given up when it no longer asks.
const EXTENSION: Duration = Duration::from_secs(4 * STATUS.as_secs());

/// The service manager.
pub struct ServiceManager {
    /// Absent where there is none.
    socket: Option<UnixDatagram>,
    /// How often it must hear from us.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one named in the environment, if there is one.
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(?address, %error, "the service manager cannot be reached");
                None
            }
        });
        Self { socket, watchdog: sd_notify::watchdog_enabled().filter(|most| !most.is_zero()) }
    }

    /// The configuration is about to be read again.
    pub fn reloading(&self) {
        if self.socket.is_none() {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(error) => debug!(%error, "no monotonic clock"),
        }
    }

    /// It has been read, or refused: what is served goes on either way.
    pub fn reloaded(&self, stage: Stage) {
        match stage {
            Stage::Starting => {}
            Stage::Serving => self.say(&[NotifyState::Ready]),
            Stage::Draining => self.say(&[NotifyState::Stopping]),
        }
    }

    /// Tells it about the gateway until dropped.
    pub async fn keep_informed(&self, handle: &Handle) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let mut stages = handle.stage();
        // What it is at already counts as a change.
        stages.mark_changed();
        let mut status = interval(STATUS);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Twice as often as it must be.
        let pause = self.watchdog.map_or(Duration::from_secs(3600), |most| most / 2).max(Duration::from_millis(1));
        let mut ping = interval_at(Instant::now() + pause, pause);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = stages.changed() => match (changed.is_ok(), *stages.borrow_and_update()) {
                    (false, _) => return std::future::pending().await,
                    (true, Stage::Starting) => {}
                    (true, Stage::Serving) => {
                        self.say(&[NotifyState::Ready, NotifyState::Status(&summary(handle, Stage::Serving))]);
                    }
                    (true, Stage::Draining) => {
                        self.say(&[NotifyState::Stopping]);
                        self.report(handle, Stage::Draining);
                    }
                },
                _ = status.tick() => self.report(handle, *stages.borrow()),
                _ = ping.tick(), if self.watchdog.is_some() => {
                    // As long as there is until the next one: pings that are late are better than none.
                    if handle.workers_respond(pause).await {
                        self.say(&[NotifyState::Watchdog]);
                    } else {
                        error!(within_s = pause.as_secs_f64(), "a worker is stuck");
                    }
                }
            }
        }
    }

    fn report(&self, handle: &Handle, stage: Stage) {
        let summary = summary(handle, stage);
        let status = NotifyState::Status(&summary);
        let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        match stage {
            Stage::Starting => {}
            Stage::Serving => self.say(&[status]),
            // The configured drain may take longer than the manager waits by default.
            Stage::Draining => self.say(&[status, NotifyState::ExtendTimeoutUsec(extension)]),
        }
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            debug!(%error, "the service manager was not told");
        }
    }
}

/// A path, or an abstract name behind an `@`.
fn connect(address: &OsStr) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    Ok(socket)
}

fn summary(handle: &Handle, stage: Stage) -> String {
    let app = handle.app();
    let (subscribers, streams) = app
        .streams
        .list()
        .iter()
        .fold((0, 0), |(subscribers, streams), stream| (subscribers + stream.subscribers(), streams + 1));
    let doing = match stage {
        Stage::Starting => "starting",
        Stage::Serving => "serving",
        Stage::Draining => "leaving",
    };
    format!("{doing}: {subscribers} subscribers on {streams} streams")
}
