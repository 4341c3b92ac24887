//! The protocol under many schedules, each drawn from a seed: the real registry, members and owners, on an engine that
//! delays, loses, hides and forgets.
//!
//! `RILLGATE_SCHEDULES=10000` runs as many, as tests/run does, and `RILLGATE_SEED=7` only that one, with its log, or as many
//! from that one on. A seed shows nearly always the same again: the order in which ready tasks run is not drawn from it.

mod client;
mod gateway;
mod ledger;
mod losses;
mod producer;
mod schedule;
mod sent_once;
mod takeover;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::fake::Mutant;
use schedule::Outcome;

/// Writes the log of a schedule with its time.
struct ScheduleTime;

impl tracing_subscriber::fmt::time::FormatTime for ScheduleTime {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        let seconds = schedule::time().as_secs_f64();
        write!(writer, "{seconds:8.3}")
    }
}

#[test]
fn clients_get_every_event_once_and_in_order_whatever_the_engine_and_the_gateways_do() {
    let first = number("RILLGATE_SEED");
    let count = number("RILLGATE_SCHEDULES").unwrap_or(if first.is_some() { 1 } else { 300 });
    if count == 1 {
        let log = tracing_subscriber::fmt().with_timer(ScheduleTime).with_max_level(tracing::Level::DEBUG);
        let _ = log.with_ansi(false).try_init();
    }
    let first = first.unwrap_or_default();
    let seeds = first..first + count;
    let next = AtomicU64::new(seeds.start);
    let outcomes: Mutex<(Outcome, Vec<(u64, String)>)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = schedule::run(seed, Mutant::None);
                    let mut outcomes = outcomes.lock();
                    let (total, failed) = &mut *outcomes;
                    total.events += outcome.events;
                    total.gaps += outcome.gaps;
                    total.faults += outcome.faults;
                    if !outcome.wrong.is_empty() {
                        failed.push((seed, outcome.wrong.join("\n    ")));
                    }
                }
            });
        }
    });
    let (total, mut failed) = outcomes.into_inner();
    failed.sort();

    println!("{seeds:?}: {} events, {} gaps, {} faults", total.events, total.gaps, total.faults);
    let shown = failed.iter().take(10).map(|(seed, wrong)| format!("seed {seed}: {wrong}"));
    let shown: Vec<_> = shown.collect();
    assert!(failed.is_empty(), "{} schedules went wrong:\n{}", failed.len(), shown.join("\n"));
    assert!(total.events > 0);
}

/// Fails unless a schedule goes wrong with this mutant.
fn expect_caught(mutant: Mutant) {
    let first = number("RILLGATE_SEED").unwrap_or_default();
    let run = |number: u64| schedule::run(first + number, mutant).wrong.into_iter().next();
    let noticed = (0..MUTANT_SCHEDULES).find_map(|number| run(number).map(|wrong| (number + 1, wrong)));

    println!("{mutant:?}: {noticed:?}");
    assert!(noticed.is_some(), "{mutant:?} was not noticed");
}

#[test]
fn an_engine_that_stores_whatever_comes_is_noticed() {
    expect_caught(Mutant::NoFence);
}

#[test]
fn events_that_are_told_before_they_are_stored_are_noticed() {
    expect_caught(Mutant::ToldBeforeStored);
}

#[test]
fn records_that_are_applied_whatever_they_continue_are_noticed() {
    expect_caught(Mutant::NoMarks);
}

#[test]
fn claims_without_a_look_are_noticed() {
    expect_caught(Mutant::ClaimWithoutLooking);
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The schedules within which a mutant must be noticed.
const MUTANT_SCHEDULES: u64 = 10_000;
