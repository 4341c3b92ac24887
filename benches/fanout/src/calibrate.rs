//! The rate of a scenario: a share of what the ceiling sustains with the same clients, on this machine, just before.
//!
//! A fixed rate would measure a slow machine at its limit, where servers gather events and clients are lost, and a fast
//! one at its ease.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::control::Instruction;
use crate::load::Load;
use crate::server::{Kind, Server, ServerSettings};

/// The rate that is asked of every server of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Events a second.
    pub rate: f64,
    /// The part of the ceiling's deliveries that this is; 0 if the rate is fixed.
    pub ceiling_share: f64,
}

impl Asked {
    /// A rate that follows nothing.
    pub fn fixed(rate: f64) -> Self {
        Self { rate, ceiling_share: 0.0 }
    }
}

/// Asks for this share of what the ceiling sustains. A ceiling that fails is reported and leaves the rate at [`FALLBACK`].
pub fn calibrate(settings: &ServerSettings, clients: usize, share: f64, time: Duration) -> Asked {
    match sustained(settings, clients, time) {
        Ok(sustained) => {
            let rate = rounded(sustained * share / clients as f64);
            println!(
                "the ceiling sustains {sustained:.0} deliveries a second with {clients} clients; asked for: {:.0} % of \
                 that, {rate} events a second",
                share * 100.0
            );
            Asked { rate, ceiling_share: share }
        }
        Err(error) => {
            println!("the ceiling could not be calibrated ({error}); asked for: {FALLBACK} events a second");
            Asked::fixed(FALLBACK)
        }
    }
}

/// Deliveries a second of the ceiling when it has always more to send. Each burst ends when every client has all of it.
fn sustained(settings: &ServerSettings, clients: usize, time: Duration) -> Outcome<f64> {
    const BURST: u64 = 5;
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut server = Server::start(Kind::Ceiling, settings)?;
    let client_settings = server.client_settings(0)?;
    let mut load = Load::new()?;
    load.connect(&client_settings, clients, PATIENCE * 2)?;
    let mut burst = |load: &mut Load, number: u64| {
        server.send(Instruction::Burst(BURST))?;
        load.receive_events(number * BURST * clients as u64, PATIENCE)
    };
    // The first touches memory that the others find.
    burst(&mut load, 1)?;
    let (start, before) = (Instant::now(), load.tally.events);
    let mut number = 1;
    while start.elapsed() < time {
        number += 1;
        burst(&mut load, number)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    load.verdict()?;
    Ok((load.tally.events - before) as f64 / seconds)
}

/// Rounds to two digits, which the calibration is good for.
fn rounded(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.log10().floor() - 1.0);
    // Division instead of a product with a fraction: 8.6 and not 8.600000000000001.
    if unit < 1.0 { (rate / unit).round() / (1.0 / unit).round() } else { (rate / unit).round() * unit }
}

const FALLBACK: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        assert_eq!([0.123, 8.6412, 12.34, 567.8].map(rounded), [0.12, 8.6, 12.0, 570.0]);
    }
}
