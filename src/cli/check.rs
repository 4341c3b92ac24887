//! `rillgate check`: finds every error that would prevent `serve`, without serving.
//!
//! With `--connect` it also tries what the configuration names on the network. Nothing of that prevents `serve`.

use crate::{Gateway, Probe};
use clap::Args;

use super::{ConfigFile, Failure, Outcome, block_on, print};

/// The options of a check.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Also connect to the upstreams, fetch the issuers' keys, and connect to the cluster's engine.
    #[arg(long)]
    connect: bool,
}

impl Check {
    pub(super) fn run(&self) -> Outcome {
        let config = self.file.load()?;
        Gateway::check(&config).map_err(|error| self.file.problem(&error))?;
        print(&config.summary())?;
        if !self.connect {
            return Ok(());
        }
        let probes = block_on(Gateway::probe(&config))?.map_err(|error| self.file.problem(&error))?;
        let mut failures = 0;
        for Probe { target, outcome } in &probes {
            match outcome {
                Ok(found) => print(&format!("connect: {target}: {found}"))?,
                Err(reason) => {
                    failures += 1;
                    print(&format!("connect: {target}: FAILED: {reason}"))?;
                }
            }
        }
        match failures {
            0 => Ok(()),
            failures => Err(Failure::Failed(format!("{failures} of {} were not reached", probes.len()))),
        }
    }
}
