//! Three gateways, three servers of the engine, and clients that come back to any gateway, while all of them fail.
//!
//!     cargo test --test cluster system -- --nocapture                       24 failures
//!     RILLGATE_SECONDS=3600 cargo test --test cluster system                for an hour
//!     RILLGATE_SEED=7 cargo test --test cluster system                      with the random choices of seed 7

mod checker;
mod disk_full;
mod faults;
mod fenced;
#[path = "../../endurance/history.rs"]
mod history;
mod many_streams;
mod overlap;
#[path = "../../endurance/reader.rs"]
mod reader;
#[allow(dead_code, reason = "the endurance tests use the rest")]
#[path = "../../endurance/recorded_producer.rs"]
mod recorded_producer;
mod rollout;
mod site;
mod trial;
mod upgrades;

use std::io::Write as _;

/// The lock of the test that runs now: each needs the whole machine.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Prints a line that the test harness does not capture.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns a number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}
