//! Clients of one server: they connect, idle, receive, and are checked to the last event.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::control::Instruction;
use crate::load::{ClientSettings, Load};
use crate::process;
use crate::producer;
use crate::report::Row;
use crate::server::Server;
use crate::side_load::SideLoad;
use crate::turns::Turns;

/// The clients of a run, and their requests.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Connections.
    pub connections: usize,
    /// Over HTTP/2, streams on each of them; 0: HTTP/1.1.
    pub h2_streams: usize,
    /// The rate and shape of the events.
    pub pace: Instruction,
    /// The number of events in the log before all clients but the first connect.
    pub filled: usize,
    /// The length of the measurement.
    pub window: Duration,
    /// Four loads: two on each of these cores, with the harness's own on the second. Connecting times and latencies are
    /// those of its clients.
    pub cores: Option<[usize; 2]>,
}

impl Workload {
    /// Measures one row.
    ///
    /// # Errors
    /// Returns an error if the server is unreachable, or the fault that [`Load::verdict`] finds after the row is filled.
    pub fn measure(&self, server: &mut Server, row: &mut Row) -> Outcome<()> {
        let side_cores = self.side_cores();
        let loads = 1 + side_cores.len();
        let per_load = (self.connections / loads).max(1);
        let connections = per_load * loads;
        (row.clients, row.h2_streams) = (connections, self.h2_streams);
        let mut client_settings = server.client_settings(self.h2_streams)?;
        let mut load = Load::new()?;
        // The first client opens the stream and shows that the server responds.
        load.connect(&client_settings, 1, Duration::from_secs(10))?;
        if self.filled > 0 {
            self.fill(server, &mut load, &mut client_settings, row)?;
        }
        let _held = open_idle_streams(server, connections * self.h2_streams.max(1))?;
        let processes = server.processes();
        let before = (process::cpu_seconds(&processes), process::pss_kib(&processes)?);
        let sides = start_sides(side_cores, &mut client_settings, per_load);
        row.connect_seconds = load.connect(&client_settings, per_load, Duration::from_secs(60))?.as_secs_f64();
        let sides = sides.into_iter().map(SideLoad::connected).collect::<Outcome<Vec<_>>>()?;
        load.receive(Duration::from_millis(500).min(self.window))?;
        let processes = server.processes();
        row.connect_micros = (process::cpu_seconds(&processes) - before.0) * 1e6 / connections as f64;
        row.idle_kib = (process::pss_kib(&processes)? - before.1) / connections as f64;

        server.send(self.pace)?;
        load.receive((self.window / 2).min(Duration::from_secs(1)))?;
        load.tally.restart();
        let side_events = || sides.iter().map(SideLoad::events).sum::<u64>();
        let side_before = side_events();
        let (cpu, busy, start) = (process::cpu_seconds(&processes), server.core_seconds()?, Instant::now());
        load.receive(self.window)?;
        // A machine that does something else may let nothing pass in a short window.
        while load.tally.events == 0 && start.elapsed() < PATIENCE {
            load.receive(self.window)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let cpu = process::cpu_seconds(&processes) - cpu;
        let events = load.tally.events + side_events() - side_before;
        row.other_share = (server.core_seconds()? - busy - cpu) / seconds;
        row.cpu_per_million = cpu * 1e6 / events.max(1) as f64;
        row.deliveries_per_second = events as f64 / seconds;
        row.core_share = cpu / seconds;
        row.received(&load);
        row.active_kib = (process::pss_kib(&processes)? - before.1) / connections as f64;
        if load.tally.events == 0 {
            return Err("delivered nothing".into());
        }

        // After the last events have arrived, all clients must have what the producer has sent.
        server.send(Instruction::Rate(0.0))?;
        let sent = server.sent()?;
        let sides = sides.into_iter().map(SideLoad::stop).collect::<Outcome<Vec<_>>>()?;
        for mut load in std::iter::once(load).chain(sides) {
            load.settle(sent, Duration::from_secs(15))?;
            load.verdict()?;
        }
        Ok(())
    }

    /// Returns the cores of the loads beside the harness's own, in the order in which they connect after it.
    fn side_cores(&self) -> Vec<usize> {
        // A server that deals connections out to two workers gives each the clients of one load on either core.
        self.cores.map_or(Vec::new(), |[side, own]| vec![own, side, side])
    }

    /// Fills the log. Later clients resume after its newest event, so that the gateway looks it up.
    fn fill(
        &self,
        server: &mut Server,
        load: &mut Load,
        client_settings: &mut ClientSettings,
        row: &mut Row,
    ) -> Outcome<()> {
        let filled = self.filled as u64;
        let before = process::pss_kib(&server.processes())?;
        server.send(Instruction::Burst(filled))?;
        load.receive_events(filled, Duration::from_secs(90))?;
        load.settle(filled, Duration::from_secs(5))?;
        load.verdict()?;
        row.event_bytes = (process::pss_kib(&server.processes())? - before) * 1024.0 / filled as f64;
        // The gateway updates this gauge periodically.
        let until = Instant::now() + Duration::from_secs(15);
        while row.in_log < self.filled {
            if Instant::now() > until {
                return Err(format!("the log holds {} events and not {filled}", row.in_log).into());
            }
            load.receive(Duration::from_millis(200))?;
            row.in_log = server.metric("rillgate_event_log_events")? as usize;
        }
        client_settings.fields.push(("last-event-id".to_owned(), filled.to_string()));
        client_settings.first = filled + 1;
        Ok(())
    }
}

/// Starts a load with `count` clients on each of these cores. They and the harness's own load connect in turn.
fn start_sides(cores: Vec<usize>, client_settings: &mut ClientSettings, count: usize) -> Vec<SideLoad> {
    if cores.is_empty() {
        return Vec::new();
    }
    let mut turns = Turns::of(1 + cores.len());
    client_settings.turns = turns.next();
    let start =
        |(core, turns)| SideLoad::start(core, ClientSettings { turns: Some(turns), ..client_settings.clone() }, count);
    cores.into_iter().zip(turns).map(start).collect()
}

/// The longest time in which something must be delivered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the streams of the settings that have no client. They send no events.
fn open_idle_streams(server: &Server, clients: usize) -> Outcome<Option<Load>> {
    const AT_A_TIME: usize = 100;
    let missing = server.settings().streams.saturating_sub(clients);
    if missing == 0 {
        return Ok(None);
    }
    let mut client_settings = server.client_settings(missing.min(AT_A_TIME))?;
    client_settings.paths = (0..missing).map(|stream| format!("{}{stream}", producer::QUIET)).collect();
    let mut load = Load::new()?;
    load.connect(&client_settings, missing.div_ceil(AT_A_TIME), Duration::from_secs(30))?;
    Ok(Some(load))
}
