//! The `rillgate` program. Everything but the commands is in the library.

#![warn(unreachable_pub)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
