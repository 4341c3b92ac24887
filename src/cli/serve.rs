//! `rillgate serve`: runs the gateway until a signal ends it.
//!
//! TERM and INT start the drain; a second one stops at once. HUP, or a change of the configuration file or a file that
//! it names, reloads the configuration.

use std::io;

use crate::config::Config;
use crate::telemetry::logging::FilterHandle;
use crate::{BindError, Drained, Gateway, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::sd_notify::ServiceManager;
use super::watch::Watch;
use super::{ConfigFile, Failure, Outcome, block_on};

pub(super) fn run(file: &ConfigFile, filter: FilterHandle) -> Outcome {
    let config = file.load()?;
    block_on(async {
        let gateway = Gateway::bind(&config).map_err(|error| match error {
            BindError::Build(error) => file.problem(&error),
            BindError::Tls { .. } => file.problem(&error),
            BindError::Listen { .. } | BindError::Store(_) => Failure::Failed(error.to_string()),
        })?;
        gateway.serve_log(filter);
        until_signalled(gateway, Some(Reloading { file, watch: Watch::new(&config) })).await
    })?
}

/// The source of reloads.
pub(super) struct Reloading<'f> {
    file: &'f ConfigFile,
    watch: Watch,
}

/// Runs the gateway until a signal ends it. Without `reloading`, HUP is ignored.
pub(super) async fn until_signalled(gateway: Gateway, mut reloading: Option<Reloading<'_>>) -> Outcome {
    crate::runtime::panics::install_hook();
    let mut signals = Signals::new().map_err(|error| Failure::Failed(format!("cannot receive signals: {error}")))?;
    let handle = gateway.handle();
    let manager = ServiceManager::from_environment();
    let shutdown = Notify::new();
    let signalled = async {
        let mut is_shutting_down = false;
        loop {
            let request = tokio::select! {
                request = signals.next() => request,
                () = changed(&mut reloading) => Request::Reload,
            };
            match request {
                Request::Reload => {
                    if let Some(reloading) = &mut reloading {
                        manager.reloading();
                        reloading.reload(&handle);
                        manager.reloaded(*handle.stage().borrow());
                    }
                }
                Request::Shutdown if is_shutting_down => return,
                Request::Shutdown => {
                    is_shutting_down = true;
                    shutdown.notify_one();
                }
            }
        }
    };
    tokio::select! {
        drained = gateway.run(shutdown.notified()) => match drained {
            // Tasks that were aborted at the deadline are logged and counted, and not a failure.
            Ok(Drained::Clean | Drained::Aborted { .. }) => Ok(()),
            Err(error) => Err(Failure::Failed(format!("cannot start: {error}"))),
        },
        () = manager.run(&handle) => unreachable!("runs until it is dropped"),
        // The operator asked for it, so it is logged and not a failure.
        () = signalled => {
            warn!("second signal: stopped at once");
            Ok(())
        }
    }
}

/// Waits until the files have changed and stay the same for one poll.
async fn changed(reloading: &mut Option<Reloading<'_>>) {
    match reloading {
        Some(reloading) => {
            reloading.watch.changed().await;
            info!("configuration files have changed");
        }
        None => std::future::pending().await,
    }
}

impl Reloading<'_> {
    fn reload(&mut self, handle: &Handle) {
        let outcome = match Config::load(&self.file.config) {
            Ok(config) => {
                self.watch.set_files(&config);
                handle.reload(&config).map_err(|error| format!("{}: {error}", self.file.config.display()))
            }
            Err(problems) => {
                self.watch.await_correction(&problems);
                Err(problems.to_string())
            }
        };
        let metrics = handle.metrics();
        match outcome {
            Ok(()) => {
                metrics.config_reload("ok");
                info!("configuration reloaded");
            }
            Err(text) => {
                metrics.config_reload("refused");
                for problem in text.lines() {
                    error!(problem, "configuration not reloaded: the old one stays in use");
                }
            }
        }
    }
}

enum Request {
    Shutdown,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Shutdown,
            _ = self.interrupt.recv() => Request::Shutdown,
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}
