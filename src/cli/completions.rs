//! `rillgate completions`: prints a script that completes the command line in a shell.
//!
//! Always true: the script comes from the arguments that this program parses. It does not complete paths of streams.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Arguments, Outcome, print};

/// The options of the completions.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that reads the script.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Outcome {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "rillgate", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
