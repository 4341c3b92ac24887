//! `rillgate serve`: the gateway, until a signal says otherwise.
//!
//! TERM and INT: leave well; a second one: leave at once. HUP: read the file again.

use std::io;

use rillgate::{BindError, Drained, Gateway, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info};

use super::{ConfigFile, Failure, Outcome, block_on};

pub fn run(file: &ConfigFile) -> Outcome {
    let config = file.load()?;
    block_on(async {
        let gateway = Gateway::bind(&config).map_err(|error| match error {
            BindError::Parts(error) => file.problem(&error),
            BindError::Tls { .. } => file.problem(&error),
            BindError::Listen { .. } | BindError::Store(_) => Failure::Failed(error.to_string()),
        })?;
        until_signalled(gateway, |handle| reload(file, handle)).await
    })?
}

/// Runs the gateway until the process is told to end.
pub async fn until_signalled(gateway: Gateway, reload: impl Fn(&Handle)) -> Outcome {
    let mut signals = Signals::new().map_err(|error| Failure::Failed(format!("cannot receive signals: {error}")))?;
    let handle = gateway.handle();
    let leave = Notify::new();
    let listening = async {
        let mut is_leaving = false;
        loop {
            match signals.next().await {
                Wish::Reload => reload(&handle),
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
        () = listening => Err(Failure::Failed("left at once".to_owned())),
    }
}

fn reload(file: &ConfigFile, handle: &Handle) {
    let outcome = file.load().and_then(|config| handle.reload(&config).map_err(|error| file.problem(&error)));
    let metrics = &handle.gate().metrics;
    match outcome {
        Ok(()) => {
            metrics.config_reload("ok");
            info!("configuration reloaded");
        }
        Err(Failure::Config(text) | Failure::Failed(text)) => {
            metrics.config_reload("refused");
            for problem in text.lines() {
                error!(problem, "configuration not reloaded, the old one stays in use");
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
