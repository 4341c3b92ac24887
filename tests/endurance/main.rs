//! The gateway under load and failures, for a minute in the suite and for any time by hand.
//!
//!     cargo test --test endurance -- --nocapture                       everything, some minutes
//!     RILLGATE_SECONDS=3600 cargo test --test endurance histories      the checker, for an hour
//!     RILLGATE_SOAK_SECONDS=3600 cargo test --test endurance attackers    beside attackers, for an hour
//!     RILLGATE_SEED=7 cargo test --test endurance histories            with the random choices of seed 7
//!
//! Always true: tests run one at a time, because each needs the whole machine. Figures go to standard error, past the
//! test harness, and no assertion about them can fail on a busy machine.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod attacked;
mod attackers;
mod checker;
mod cycles;
mod departure;
mod history;
mod hostile_producer;
mod outage;
mod reader;
mod recorded_producer;
mod stalled;
#[path = "../gateway/support/mod.rs"]
mod support;

use std::io::Write as _;

/// The lock of the test that runs now.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Prints a line that the test harness does not capture.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}
