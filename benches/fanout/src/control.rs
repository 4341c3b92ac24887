//! The commands of the harness to its children: a line on their standard input, answered by a line on their output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::Outcome;

/// A command to a child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// Send this many events per second from now on; 0 stops.
    Rate(f64),
    /// Send this many events at once.
    Burst(u64),
    /// Trains of so many events, `spacing` apart from each other; a train begins `period` after the one before began.
    Trains { events: u64, spacing: Duration, period: Duration },
}

/// A child's side: orders as they come. Ends the process when the parent is gone.
pub fn orders() -> Receiver<Order> {
    let (sender, orders) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let mut words = line.split_whitespace();
            let word = words.next();
            let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
            let order = match (word, numbers.as_slice()) {
                (Some("rate"), &[rate]) => Order::Rate(rate),
                (Some("burst"), &[events]) => Order::Burst(events as u64),
                (Some("trains"), &[events, spacing, period]) => Order::Trains {
                    events: events as u64,
                    spacing: Duration::from_secs_f64(spacing),
                    period: Duration::from_secs_f64(period),
                },
                _ => continue,
            };
            if sender.send(order).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    orders
}

/// Says where a child listens.
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
    /// Waits until the child says where it listens.
    pub fn of(child: &mut Child) -> Outcome<Self> {
        let input = child.stdin.take().ok_or("a child without input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a child without output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "a child that did not start")?;
        Ok(Self { input, _output: output, port })
    }

    /// Tells it.
    pub fn tell(&mut self, order: Order) -> Outcome<()> {
        match order {
            Order::Rate(rate) => writeln!(self.input, "rate {rate}")?,
            Order::Burst(events) => writeln!(self.input, "burst {events}")?,
            Order::Trains { events, spacing, period } => {
                writeln!(self.input, "trains {events} {} {}", spacing.as_secs_f64(), period.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
