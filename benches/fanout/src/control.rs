//! The commands of the harness to its children: a line on their standard input, answered by a line on their output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::Outcome;

/// A command to a child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instruction {
    /// Send this many events per second from now on; 0 stops.
    Rate(f64),
    /// Send this many events at once.
    Burst(u64),
    /// Trains of so many events, `spacing` apart from each other; a train begins `period` after the one before began.
    Trains { events: u64, spacing: Duration, period: Duration },
}

/// Returns the instructions that arrive at a child. Ends the process when the parent is gone.
pub fn instructions() -> Receiver<Instruction> {
    let (sender, instructions) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let mut words = line.split_whitespace();
            let word = words.next();
            let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
            let instruction = match (word, numbers.as_slice()) {
                (Some("rate"), &[rate]) => Instruction::Rate(rate),
                (Some("burst"), &[events]) => Instruction::Burst(events as u64),
                (Some("trains"), &[events, spacing, period]) => Instruction::Trains {
                    events: events as u64,
                    spacing: Duration::from_secs_f64(spacing),
                    period: Duration::from_secs_f64(period),
                },
                _ => continue,
            };
            if sender.send(instruction).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    instructions
}

/// Prints the port on which a child listens.
pub fn announce(port: u16) {
    println!("{port}");
    let _ = std::io::stdout().flush();
}

/// The parent's side.
pub struct Control {
    input: ChildStdin,
    _output: BufReader<ChildStdout>,
    /// The address on which the child listens.
    pub port: u16,
}

impl Control {
    /// Waits until the child prints its port.
    pub fn of(child: &mut Child) -> Outcome<Self> {
        let input = child.stdin.take().ok_or("a child without input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a child without output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "a child that did not start")?;
        Ok(Self { input, _output: output, port })
    }

    /// Sends an instruction to the child.
    pub fn send(&mut self, instruction: Instruction) -> Outcome<()> {
        match instruction {
            Instruction::Rate(rate) => writeln!(self.input, "rate {rate}")?,
            Instruction::Burst(events) => writeln!(self.input, "burst {events}")?,
            Instruction::Trains { events, spacing, period } => {
                writeln!(self.input, "trains {events} {} {}", spacing.as_secs_f64(), period.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
