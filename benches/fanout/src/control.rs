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
    /// Print the number of the newest event, after the events of all bursts.
    Report,
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
                (Some("report"), &[]) => Instruction::Report,
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

/// Prints a number to the parent: first the port on which a child listens, later its reports.
pub fn announce(number: impl Into<u64>) {
    println!("{}", number.into());
    let _ = std::io::stdout().flush();
}

/// The parent's side.
pub struct Control {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The address on which the child listens.
    pub port: u16,
}

impl Control {
    /// Waits until the child prints its port.
    pub fn of(child: &mut Child) -> Outcome<Self> {
        let input = child.stdin.take().ok_or("a child without input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a child without output")?);
        let port = number(&mut output)?.try_into().map_err(|_| "a child that did not start")?;
        Ok(Self { input, output, port })
    }

    /// Returns the number of events that the child has sent. It answers after the events of all bursts.
    pub fn sent(&mut self) -> Outcome<u64> {
        self.send(Instruction::Report)?;
        number(&mut self.output)
    }

    /// Sends an instruction to the child.
    pub fn send(&mut self, instruction: Instruction) -> Outcome<()> {
        match instruction {
            Instruction::Rate(rate) => writeln!(self.input, "rate {rate}")?,
            Instruction::Burst(events) => writeln!(self.input, "burst {events}")?,
            Instruction::Trains { events, spacing, period } => {
                writeln!(self.input, "trains {events} {} {}", spacing.as_secs_f64(), period.as_secs_f64())?;
            }
            Instruction::Report => writeln!(self.input, "report")?,
        }
        Ok(())
    }
}

fn number(output: &mut BufReader<ChildStdout>) -> Outcome<u64> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    line.trim().parse().map_err(|_| "a child that does not answer".into())
}
