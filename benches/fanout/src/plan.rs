//! What is run, in which order, and what of it is kept.
//!
//! Servers of one scenario run in turn, round after round, so that what disturbs the machine disturbs all alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::Order;
use crate::load::{Ask, Load};
use crate::report::{Report, Row};
use crate::server::{Kind, Scene, Server};
use crate::{Outcome, certificate, picture, process, storm, table};

/// How big a run is.
#[derive(Clone, Copy, Debug)]
struct Size {
    clients: usize,
    rounds: usize,
    window: Duration,
}

/// A run's surroundings.
struct Run {
    /// The one server that is looked at.
    only: Option<String>,
    size: Size,
    scene: Scene,
    report: Report,
}

const USAGE: &str = "usage: benches/run [--quick | --smoke] [--rounds N] [--clients N] [--seconds N] [SCENARIO...]

scenarios, about two minutes each; without any, all of them:
  tls       HTTP/1.1 over TLS: ceiling, rillgate, nchan
  plain     the same in the clear
  h2        HTTP/2 with 1, 6 and 100 streams on a connection: ceiling (HTTP/1.1), rillgate
  overload  a million deliveries a second asked of one core
  replay    clients come back with Last-Event-ID: rillgate, nchan
  proxies   nginx, haproxy, caddy with a connection to the producer for each client
  growth    clients x streams, long logs, many routes: rillgate
  storm     3,000 come at once while 1,000 read; printed, not kept, and not part of all
  table     no run: what the kept figures come to
  --only SERVER one of them alone; --scratch: the figures are not kept
  --quick   one round of the first three; --smoke: a few seconds with 50 clients, any build";

/// Does what the command line says.
pub fn run(arguments: Vec<String>) -> Outcome<()> {
    let mut size = Size { clients: 10_000, rounds: 3, window: Duration::from_secs(4) };
    let mut scenarios = Vec::new();
    let mut is_kept = true;
    let mut only = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse::<usize>().ok()).ok_or(USAGE);
        match argument.as_str() {
            "--quick" => {
                size.rounds = 1;
                scenarios.extend(["tls", "plain", "h2"].map(str::to_owned));
            }
            "--smoke" => {
                size = Size { clients: 50, rounds: 1, window: Duration::from_millis(500) };
                scenarios.extend(["tls", "plain", "h2", "overload", "replay"].map(str::to_owned));
                is_kept = false;
            }
            "--rounds" => size.rounds = number()?,
            "--clients" => size.clients = number()?,
            "--seconds" => size.window = Duration::from_secs(number()? as u64),
            "--scratch" => is_kept = false,
            "--only" => only = arguments.next(),
            "tls" | "plain" | "h2" | "overload" | "replay" | "proxies" | "growth" | "storm" | "table" => {
                scenarios.push(argument)
            }
            _ => return Err(USAGE.into()),
        }
    }
    if scenarios.is_empty() {
        scenarios.extend(["tls", "plain", "h2", "overload", "replay", "proxies", "growth", "table"].map(str::to_owned));
    }
    let folder = std::env::temp_dir().join(format!("rillgate-fanout-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    certificate::make(&folder)?;
    let rillgate = std::env::var_os("RILLGATE").map(PathBuf::from).ok_or("RILLGATE names the gateway's program")?;
    let core = std::env::var("SERVER_CORE").ok().and_then(|core| core.parse().ok()).unwrap_or(0);
    let scene = Scene { folder: folder.clone(), rillgate, core, is_tls: true, streams: 1, routes: 0, log: 1000 };
    let mut run = Run { only, size, scene, report: Report::new(is_kept)? };
    let outcome = scenarios.iter().try_for_each(|scenario| run.scenario(scenario));
    if outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&folder);
    }
    outcome
}

impl Run {
    fn scenario(&mut self, scenario: &str) -> Outcome<()> {
        self.report.begin(scenario);
        match scenario {
            "tls" | "plain" => {
                let scene = Scene { is_tls: scenario == "tls", ..self.scene.clone() };
                self.rounds(|run, round| {
                    for kind in [Kind::Ceiling, Kind::Rillgate, Kind::Nchan] {
                        run.fan_out(kind, &scene, round, 0, 10.0)?;
                    }
                    Ok(())
                })?;
            }
            "h2" => self.rounds(|run, round| {
                let scene = run.scene.clone();
                run.fan_out(Kind::Ceiling, &scene, round, 0, 10.0)?;
                [1, 6, 100]
                    .into_iter()
                    .try_for_each(|streams| run.fan_out(Kind::Rillgate, &scene, round, streams, 10.0))
            })?,
            "overload" => self.rounds(|run, round| {
                let scene = run.scene.clone();
                // A few clients are there to see that it works, in builds that are not made for speed.
                let rate = if run.size.clients < 1000 { 100.0 } else { 1_000_000.0 / run.size.clients as f64 };
                run.fan_out(Kind::Rillgate, &scene, round, 0, rate)
            })?,
            "replay" => self.rounds(|run, round| {
                let scene = run.scene.clone();
                [Kind::Rillgate, Kind::Nchan].into_iter().try_for_each(|kind| run.replay(kind, &scene, round))
            })?,
            "proxies" => {
                let clients = self.size.clients;
                self.size.clients = clients.min(5000);
                let scene = self.scene.clone();
                let kinds = [Kind::Rillgate, Kind::Nginx, Kind::Haproxy, Kind::Caddy];
                let outcome = self.rounds(|run, round| {
                    kinds.into_iter().try_for_each(|kind| run.fan_out(kind, &scene, round, 0, 10.0))
                });
                self.size.clients = clients;
                outcome?;
            }
            "growth" => self.growth()?,
            "storm" => return storm::measure(&self.scene, self.size.window),
            "table" => {
                let folder = Path::new("benches/results");
                table::print(folder)?;
                picture::draw(folder)?;
            }
            _ => {}
        }
        self.report.end()
    }

    fn rounds(&mut self, mut round: impl FnMut(&mut Self, usize) -> Outcome<()>) -> Outcome<()> {
        (1..=self.size.rounds).try_for_each(|number| round(self, number))
    }

    fn is_wanted(&self, kind: Kind) -> bool {
        kind.is_installed() && self.only.as_ref().is_none_or(|only| only == kind.name())
    }

    /// Clients read what one stream brings, at `rate` events a second.
    fn fan_out(&mut self, kind: Kind, scene: &Scene, round: usize, h2_streams: usize, rate: f64) -> Outcome<()> {
        if !self.is_wanted(kind) {
            return Ok(());
        }
        let window = self.size.window;
        let mut server = Server::start(kind, scene)?;
        let mut ask = server.ask(h2_streams)?;
        let mut load = Load::new()?;
        let mut row = Row::new(kind.name(), round);
        let connections = (self.size.clients / h2_streams.max(1)).max(1);
        row.clients = connections;
        row.h2_streams = h2_streams;
        row.streams = scene.streams;
        row.rate = rate;
        first(&mut load, &mut ask, &server)?;

        let before = (process::cpu_seconds(&server.processes()), process::pss_kib(&server.processes())?);
        row.connect_seconds = load.connect(&ask, connections, Duration::from_secs(60))?.as_secs_f64();
        load.receive(Duration::from_millis(500).min(window))?;
        let processes = server.processes();
        row.connect_micros = (process::cpu_seconds(&processes) - before.0) * 1e6 / connections as f64;
        row.idle_kib = (process::pss_kib(&processes)? - before.1) / connections as f64;

        server.tell(Order::Rate(rate))?;
        load.receive(window.min(Duration::from_secs(1)))?;
        load.tally.restart();
        let (cpu, core, start) =
            (process::cpu_seconds(&processes), process::core_seconds(scene.core)?, std::time::Instant::now());
        load.receive(window)?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = process::cpu_seconds(&processes) - cpu;
        row.other_share = (process::core_seconds(scene.core)? - core - cpu) / seconds;
        row.cpu_per_million = cpu * 1e6 / load.tally.events.max(1) as f64;
        row.deliveries_per_second = load.tally.events as f64 / seconds;
        row.core_share = cpu / seconds;
        row.received(&load);
        row.active_kib = (process::pss_kib(&processes)? - before.1) / connections as f64;
        drop(server);
        self.report.add(row)
    }

    /// Clients come back all at once with the id of the event a hundred before the newest.
    fn replay(&mut self, kind: Kind, scene: &Scene, round: usize) -> Outcome<()> {
        const MISSED: u64 = 100;
        if !self.is_wanted(kind) {
            return Ok(());
        }
        let clients = (self.size.clients / 2).max(1);
        let mut server = Server::start(kind, scene)?;
        let mut ask = server.ask(0)?;
        // A probe sees the id to go on after, and keeps the stream open.
        let mut probe = Load::new()?;
        probe.connect_probe(&ask)?;
        server.tell(Order::Burst(10))?;
        probe.receive_events(10, Duration::from_secs(10))?;
        let id = probe.first().and_then(|response| response.scan.id.clone()).ok_or("the probe saw no id")?;
        server.tell(Order::Burst(MISSED))?;
        probe.receive_events(10 + MISSED, Duration::from_secs(10))?;
        ask.fields.push(("last-event-id".to_owned(), id));

        let mut load = Load::new()?;
        let mut row = Row::new(kind.name(), round);
        (row.clients, row.streams) = (clients, 1);
        let before = process::cpu_seconds(&server.processes());
        let start = std::time::Instant::now();
        load.connect(&ask, clients, Duration::from_secs(60))?;
        load.receive_events(clients as u64 * MISSED, Duration::from_secs(30))?;
        row.connect_seconds = start.elapsed().as_secs_f64();
        let cpu = process::cpu_seconds(&server.processes()) - before;
        row.cpu_per_million = cpu * 1e6 / load.tally.events as f64;
        row.connect_micros = cpu * 1e6 / clients as f64;
        row.deliveries_per_second = load.tally.events as f64 / row.connect_seconds;
        row.received(&load);
        self.report.add(row)
    }

    fn growth(&mut self) -> Outcome<()> {
        let (clients, window) = (self.size.clients, self.size.window);
        let base = self.scene.clone();
        self.size.window = window.min(Duration::from_secs(2));
        let mut cells = Vec::new();
        for clients in [clients / 100, clients / 10, clients] {
            for streams in [1, 10, 1000] {
                cells.push((clients, Scene { streams, ..base.clone() }));
            }
        }
        cells.push((clients / 10, Scene { log: 10, ..base.clone() }));
        cells.push((clients / 10, Scene { log: 1_000_000, ..base.clone() }));
        cells.push((clients / 10, Scene { routes: 1000, ..base.clone() }));
        for (clients, scene) in cells {
            self.size.clients = clients.max(1);
            // As many writes everywhere: twenty thousand a second.
            self.fan_out(Kind::Rillgate, &scene, 1, 0, 20_000.0 / clients.max(1) as f64)?;
            self.report.note(|row| (row.log, row.routes) = (scene.log, scene.routes));
        }
        (self.size.clients, self.size.window) = (clients, window);
        Ok(())
    }
}

/// The first client opens the streams and finds out that the server answers at all.
fn first(load: &mut Load, ask: &mut Ask, server: &Server) -> Outcome<()> {
    load.connect(ask, 1, Duration::from_secs(10))
        .map(drop)
        .map_err(|error| format!("{}: {error}", server.kind().name()).into())
}
