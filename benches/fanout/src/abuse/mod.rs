//! The scenario `abuse`: what an attack costs the gateway, and what honest clients notice of it.
//!
//! The server has a core of its own. The attacker with its producer, the honest producer, and the honest clients are
//! processes on the other core. Each row has 200 readers of one stream, a newcomer every 50 ms and a probe every 100 ms.

mod attack;
mod attacker;
mod figures;
mod hostile;
mod memory;
mod newcomers;
pub mod page;
mod producer;
mod readers;
mod server;
mod situation;
mod tokens;
mod trial;
mod wire;

pub use attacker::run as attacker;
pub use producer::serve as produce;
use serde_json::Value;
use server::Software;
use situation::{SITUATIONS, Situation};
use trial::Trial;

use crate::Outcome;
use crate::plan::is_wanted;
use crate::server::{Kind, ServerSettings};

/// Runs every situation, or those whose numbers are in `only`, and passes each row to `keep`. Returns how many rows miss
/// one of the goals.
pub fn measure(
    settings: &ServerSettings,
    only: Option<&str>,
    is_smoke: bool,
    mut keep: impl FnMut(Value),
) -> Outcome<usize> {
    let only = only.or(is_smoke.then_some("33"));
    let wanted = |situation: &&Situation| is_wanted(only, situation.number);
    let mut missed = 0;
    for situation in SITUATIONS.iter().filter(wanted) {
        println!("{} {}", situation.number, situation.title);
        if !server::is_possible(situation.surroundings) {
            println!("   not possible here: it needs root, for a name server of its own");
            continue;
        }
        let trial = Trial::new(settings, situation, is_smoke);
        let figures = match trial.run(Software::Gateway) {
            Ok(figures) => figures,
            Err(error) if is_smoke => return Err(error),
            Err(error) => {
                println!("   FAIL: it cannot be tried: {error}");
                missed += 1;
                continue;
            }
        };
        println!("   rillgate: {figures}");
        let control = situation.has_control && !is_smoke && Kind::Nginx.is_installed();
        let control = control
            .then(|| trial.run_control(Software::Nginx))
            .and_then(|control| control.map_err(|error| println!("   nginx: {error}")).ok());
        if let Some(control) = &control {
            println!("   nginx:    {control}");
        }
        let failures = figures.missed(situation, control.as_ref());
        println!(
            "   {}",
            if failures.is_empty() { "pass".to_owned() } else { format!("FAIL: {}", failures.join("; ")) }
        );
        missed += usize::from(!failures.is_empty());
        keep(figures.json(situation, control.as_ref(), &failures));
    }
    Ok(missed)
}

/// The honest readers of a row.
const READERS: usize = 200;

/// Returns the first row of each situation, in the order of the situations.
pub fn in_order(rows: impl Iterator<Item = Value>) -> impl Iterator<Item = Value> {
    let rows: Vec<_> = rows.collect();
    SITUATIONS.iter().filter_map(move |situation| rows.iter().find(|row| row["number"] == situation.number).cloned())
}
