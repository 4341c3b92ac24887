//! Growth with one variable at a time: clients, streams, rates, logs, routes.

use std::time::Duration;

use crate::Outcome;
use crate::control::Instruction;
use crate::plan::{Run, WORKERS_SHARE};
use crate::report::Row;
use crate::server::{Kind, ServerSettings};
use crate::table::{ONE_WORKER, TWO_WORKERS};
use crate::workload::Workload;

/// The number of writes in each cell, unless the rate is the variable.
const WRITES: f64 = 20_000.0;

impl Run {
    /// Clients x streams; then, with a tenth of the clients: the rate, the log, the routes.
    pub fn growth(&mut self) -> Outcome<()> {
        let most = self.size.clients;
        // A run that is to show only that it works takes a few cells, and builds that are not made for speed.
        let is_small = most < 1000;
        let (streams, logs, rates, routes): (&[usize], &[usize], &[f64], usize) = match is_small {
            true => (&[60], &[100], &[], 20),
            false => (&[1, 10, 1000], &[10, 10_000, 1_000_000], &[0.1, 4.0], 1000),
        };
        let sizes = if is_small { vec![most] } else { vec![most / 100, most / 10, most] };
        let writes = if is_small { 200.0 } else { WRITES };
        let base = self.settings.clone();
        let tenth = (most / 10).max(1);
        let mut cells = Vec::new();
        for clients in sizes {
            for &streams in streams {
                cells.push((clients, writes, 0, ServerSettings { streams, ..base.clone() }));
            }
        }
        for part in rates {
            cells.push((tenth, writes * part, 0, base.clone()));
        }
        for &log in logs {
            cells.push((tenth, writes, log, ServerSettings { log, ..base.clone() }));
        }
        cells.push((tenth, writes, 0, ServerSettings { routes, ..base.clone() }));
        for (clients, writes, filled, settings) in cells {
            let is_one_stream = settings.streams == 1;
            let workload = Workload {
                connections: clients,
                h2_streams: 0,
                pace: Instruction::Rate(writes / clients as f64),
                filled,
                window: self.size.window.min(Duration::from_millis(1500)),
                cores: None,
            };
            // What the kernel, its caches and the machine's mood make of it is in the ceiling as well.
            if is_one_stream {
                self.row(Kind::Ceiling, &settings, 1, &Workload { filled: 0, ..workload })?;
            }
            self.row(Kind::Rillgate, &settings, 1, &workload)?;
        }
        Ok(())
    }

    /// One stream with one worker, and with two, each on a core. Either way half of the clients are on either core, because a
    /// delivery to a client on the same core costs the server less; and the clients of the two workers are in loads of their
    /// own, because two workers that wake one load wait for each other in the kernel. They are asked for less than other
    /// servers, because the clients take a part of both cores.
    pub fn workers(&mut self) -> Outcome<()> {
        let one = self.settings.clone();
        let load_core = std::env::var("LOAD_CORE").ok().and_then(|core| core.parse().ok());
        let Some(load_core) = load_core.filter(|core| *core != one.core) else {
            println!("two workers take two cores: SERVER_CORE and LOAD_CORE");
            return Ok(());
        };
        let asked = self.calibrate(&one, WORKERS_SHARE);
        let two = ServerSettings { second_core: Some(load_core), ..one.clone() };
        self.rounds(|run, round| {
            let workload = Workload { cores: Some([one.core, load_core]), ..run.fan_out_workload(0, asked) };
            [(ONE_WORKER, &one), (TWO_WORKERS, &two)].into_iter().try_for_each(|(name, settings)| {
                let row = Row { ceiling_share: asked.ceiling_share, ..Row::new(name, round) };
                run.measure(Kind::Rillgate, settings, row, &workload)
            })
        })
    }

    /// A producer whose events come in trains: what gathering saves, and what it costs.
    pub fn gather(&mut self) -> Outcome<()> {
        let connections = (self.size.clients / 10).max(1);
        for round in 1..=self.size.rounds {
            let gathers: &[u64] = if self.size.clients < 1000 { &[20] } else { &[0, 5, 20, 50] };
            for &gather in gathers {
                let settings = ServerSettings { gather: Duration::from_millis(gather), ..self.settings.clone() };
                let pace = Instruction::Trains {
                    events: 10,
                    spacing: Duration::from_millis(10),
                    period: Duration::from_millis(500),
                };
                let window = self.size.window;
                let workload = Workload { connections, h2_streams: 0, pace, filled: 0, window, cores: None };
                self.row(Kind::Rillgate, &settings, round, &workload)?;
            }
        }
        Ok(())
    }
}
