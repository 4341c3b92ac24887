//! The `rillgate` program. Everything but the commands is in the library.

#![warn(unreachable_pub)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

/// Returns freed memory to the system, with the settings in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
