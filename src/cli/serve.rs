//! `rillgate serve`: the gateway, until a signal says otherwise.
//!
//! TERM and INT: leave well; a second one: leave at once. HUP, or a change of the file or one that it names: read the
//! file again.

use std::io;

use rillgate::config::Config;
use rillgate::telemetry::logging::FilterHandle;
use rillgate::{BindError, Drained, Gateway, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::sd_notify::ServiceManager;
use super::watch::Watch;
use super::{ConfigFile, Failure, Outcome, block_on};

pub fn run(file: &ConfigFile, filter: FilterHandle) -> Outcome {
    let config = file.load()?;
    block_on(async {
        let mut gateway = Gateway::bind(&config).map_err(|error| match error {
            BindError::Build(error) => file.problem(&error),
            BindError::Tls { .. } => file.problem(&error),
            BindError::Listen { .. } | BindError::Store(_) => Failure::Failed(error.to_string()),
        })?;
        gateway.serve_log_filter(filter);
        until_signalled(gateway, Some(Reloading { file, watch: Watch::new(&config) })).await
    })?
}

/// Where a new configuration comes from, and how it is noticed.
pub struct Reloading<'f> {
    file: &'f ConfigFile,
    watch: Watch,
}

/// Runs the gateway until the process is told to end. Without `reloading`, HUP says nothing to it.
pub async fn until_signalled(gateway: Gateway, mut reloading: Option<Reloading<'_>>) -> Outcome {
    rillgate::runtime::panics::install_hook();
    let mut signals = Signals::new().map_err(|error| Failure::Failed(format!("cannot receive signals: {error}")))?;
    let handle = gateway.handle();
    let manager = ServiceManager::from_environment();
    let leave = Notify::new();
    let listening = async {
        let mut is_leaving = false;
        loop {
            let wish = tokio::select! {
                wish = signals.next() => wish,
                () = changed(&mut reloading) => Wish::Reload,
            };
            match wish {
                Wish::Reload => {
                    if let Some(reloading) = &mut reloading {
                        manager.reloading();
                        reloading.reload(&handle);
                        manager.reloaded(*handle.stage().borrow());
                    }
                }
                Wish::Leave if is_leaving => return,
                Wish::Leave => {
                    is_leaving = true;
                    leave.notify_one();
                }
            }
        }
    };
    tokio::select! {
        drained = gateway.run(leave.notified()) => match drained {
            // Cut off at the deadline is logged and counted, and still done.
            Ok(Drained::Clean | Drained::Aborted { .. }) => Ok(()),
            Err(error) => Err(Failure::Failed(format!("cannot start: {error}"))),
        },
        () = manager.keep_informed(&handle) => unreachable!("it goes on until it is dropped"),
        // As told: like a deadline that has come, it is logged and no failure.
        () = listening => {
            warn!("left at once, at the second signal");
            Ok(())
        }
    }
}

/// Completes when the files have changed and are as they were at the last look.
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
                self.watch.follow(&config);
                handle.reload(&config).map_err(|error| format!("{}: {error}", self.file.config.display()))
            }
            Err(problems) => {
                self.watch.await_correction(&problems);
                Err(problems.to_string())
            }
        };
        let metrics = &handle.app().metrics;
        match outcome {
            Ok(()) => {
                metrics.config_reload("ok");
                info!("configuration reloaded");
            }
            Err(text) => {
                metrics.config_reload("refused");
                for problem in text.lines() {
                    error!(problem, "configuration not reloaded, the old one stays in use");
                }
            }
        }
    }
}

enum Wish {
    Leave,
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

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Leave,
            _ = self.interrupt.recv() => Wish::Leave,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}
