//! Notifications to the service manager (`sd_notify(3)`): ready, reloading, stopping, and watchdog pings.
//!
//! Sends nothing where the manager did not ask for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`). A manager that does not read
//! never blocks us. A ping is sent only after every worker has run a task, so a worker that hangs ends the pings.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::{Handle, Stage};
use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tracing::{debug, error, warn};

/// The time between two status messages.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// The extension of the stop timeout that a draining gateway requests each time. The manager gives up on it when the
/// requests end.
const EXTENSION: Duration = Duration::from_secs(4 * STATUS_INTERVAL.as_secs());

/// The service manager's notification socket.
pub(super) struct ServiceManager {
    /// `None` without a service manager.
    socket: Option<UnixDatagram>,
    /// The longest time between two pings.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Connects to the manager that the environment names, if any.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(?address, %error, "cannot connect to the service manager");
                None
            }
        });
        Self { socket, watchdog: sd_notify::watchdog_enabled().filter(|most| !most.is_zero()) }
    }

    /// Reports that a reload of the configuration begins.
    pub(super) fn reloading(&self) {
        if self.socket.is_none() {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => debug!(%error, "no monotonic clock"),
        }
    }

    /// Reports the end of a reload, successful or not: the gateway serves on in both cases.
    pub(super) fn reloaded(&self, stage: Stage) {
        match stage {
            Stage::Starting => {}
            Stage::Serving => self.send(&[NotifyState::Ready]),
            Stage::Draining => self.send(&[NotifyState::Stopping]),
        }
    }

    /// Reports the gateway's state until dropped.
    pub(super) async fn run(&self, handle: &Handle) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let mut stages = handle.stage();
        // Treats the present stage as a change.
        stages.mark_changed();
        let mut status = interval(STATUS_INTERVAL);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Twice as often as required.
        let pause = self.watchdog.map_or(Duration::from_secs(3600), |most| most / 2).max(Duration::from_millis(1));
        let mut ping = interval_at(Instant::now() + pause, pause);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = stages.changed() => match (changed.is_ok(), *stages.borrow_and_update()) {
                    (false, _) => return std::future::pending().await,
                    (true, Stage::Starting) => {}
                    (true, Stage::Serving) => {
                        self.send(&[NotifyState::Ready, NotifyState::Status(&summary(handle, Stage::Serving))]);
                    }
                    (true, Stage::Draining) => {
                        self.send(&[NotifyState::Stopping]);
                        self.report(handle, Stage::Draining);
                    }
                },
                _ = status.tick() => self.report(handle, *stages.borrow()),
                _ = ping.tick(), if self.watchdog.is_some() => {
                    // The wait may last until the next ping is due: late pings are better than none.
                    if handle.workers_respond(pause).await {
                        self.send(&[NotifyState::Watchdog]);
                    } else {
                        error!(within_s = pause.as_secs_f64(), "a worker does not respond");
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
            Stage::Serving => self.send(&[status]),
            // The configured drain may take longer than the manager's default stop timeout.
            Stage::Draining => self.send(&[status, NotifyState::ExtendTimeoutUsec(extension)]),
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            debug!(%error, "cannot notify the service manager");
        }
    }
}

/// Connects to a path, or to an abstract name after an `@`.
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
    let (subscribers, streams) = handle
        .streams()
        .list()
        .iter()
        .fold((0, 0), |(subscribers, streams), stream| (subscribers + stream.subscribers(), streams + 1));
    let doing = match stage {
        Stage::Starting => "starting",
        Stage::Serving => "serving",
        Stage::Draining => "draining",
    };
    format!("{doing}: {subscribers} subscribers on {streams} streams")
}
