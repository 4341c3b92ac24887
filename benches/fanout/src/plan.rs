//! The scenarios, their order, and the results that are kept.
//!
//! Servers of one scenario run in turn, round after round, so that what disturbs the machine disturbs all alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::calibrate::{Asked, calibrate};
use crate::control::Instruction;
use crate::load::Load;
use crate::report::{Report, Row};
use crate::server::{Kind, Server, ServerSettings};
use crate::table::Results;
use crate::workload::Workload;
use crate::{Outcome, abuse, certificate, cluster, forward, pages, picture, process, storm, table};

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Clients of the largest scenario.
    pub clients: usize,
    /// The number of rounds of a scenario.
    pub rounds: usize,
    /// The time for which each server is measured.
    pub window: Duration,
}

/// A run of scenarios.
pub struct Run {
    /// The only server to measure, if any.
    only: Option<String>,
    /// The dimensions of a run.
    pub size: Size,
    /// The default task of the servers.
    pub settings: ServerSettings,
    /// The results.
    pub report: Report,
    /// The number of rows in which the gateway failed.
    pub failed: usize,
}

/// All scenarios, in the order in which they run.
const SCENARIOS: [&str; 12] =
    ["tls", "plain", "h2", "overload", "replay", "proxies", "growth", "gather", "workers", "sizes", "micro", "table"];

/// The share of the ceiling's deliveries that servers are asked for.
pub const CEILING_SHARE: f64 = 0.6;

/// The same for plain proxies: 60 % would be more than most of them can do.
pub const PROXIES_SHARE: f64 = 0.3;

/// The same for a gateway that shares its cores with the clients.
pub const WORKERS_SHARE: f64 = 0.5;

/// The folder of the stored results.
pub const RESULTS: &str = "benches/results";

const USAGE: &str = "usage: benches/run [--quick | --smoke] [--rounds N] [--clients N] [--seconds N] [SCENARIO...]

scenarios, about two minutes each; without any, all of them:
  tls       HTTP/1.1 over TLS: ceiling, rillgate, nchan
  plain     the same in the clear
  h2        HTTP/2 with 1, 6 and 100 streams on a connection: ceiling (HTTP/1.1), rillgate
  overload  a million deliveries a second asked of one core
  replay    clients come back with Last-Event-ID: rillgate, nchan
  proxies   nginx, haproxy, caddy with a connection to the producer for each client, beside rillgate; half the clients
  growth    clients x streams, rates, long logs, many routes: rillgate, one round
  gather    a producer in trains of events, with and without delivery.gather: rillgate
  workers   one stream with one worker and with two, each on a core, half of the clients on either: rillgate
  sizes     memory and descriptors of idle clients, streams, events, routes: rillgate, one round
  abuse     attacks beside 200 honest clients: rillgate, nginx where it can be attacked so; ten minutes, not part of all
  storm     3,000 come at once while 1,000 read; printed, not kept, and not part of all
  cluster   three gateways and their engine, beside one gateway; eight minutes, not part of all
  forward   requests, bodies and WebSockets that are sent on: rillgate, nginx, caddy; ten minutes, not part of all
  compression
            bytes, CPU and memory of three contents with gzip and zstd beside none: rillgate; five minutes, not part of all
  micro     the micro-benches, by cargo
  table     no run: writes what the kept figures come to into benches/README.md, docs/sizing.md and the picture
  --only SERVER one of them alone, for abuse the numbers of situations, such as 33,07, for cluster,
                forward and compression their parts, such as delivery,takeover; --scratch: the figures are not kept
  --quick   one round of the first three; --smoke: a few seconds with 50 clients, any build; neither is kept";

/// Returns true if a part is measured: one that `only` names, or any without it.
pub fn is_wanted(only: Option<&str>, part: &str) -> bool {
    only.is_none_or(|only| only.split(',').any(|wanted| wanted == part))
}

/// Runs the scenarios of the command line.
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
                is_kept = false;
                scenarios.extend(["tls", "plain", "h2"].map(str::to_owned));
            }
            "--smoke" => {
                size = Size { clients: 50, rounds: 1, window: Duration::from_millis(500) };
                scenarios.extend(
                    [
                        "tls",
                        "plain",
                        "h2",
                        "overload",
                        "replay",
                        "growth",
                        "gather",
                        "workers",
                        "sizes",
                        "abuse",
                        "cluster",
                        "forward",
                        "compression",
                    ]
                    .map(str::to_owned),
                );
                is_kept = false;
            }
            "--rounds" => size.rounds = number()?,
            "--clients" => size.clients = number()?,
            "--seconds" => size.window = Duration::from_secs(number()? as u64),
            "--scratch" => is_kept = false,
            "--only" => only = arguments.next(),
            name if SCENARIOS.contains(&name)
                || matches!(name, "storm" | "abuse" | "cluster" | "forward" | "compression") =>
            {
                scenarios.push(argument)
            }
            _ => return Err(USAGE.into()),
        }
    }
    if scenarios.is_empty() {
        scenarios.extend(SCENARIOS.map(str::to_owned));
    }
    let folder = std::env::temp_dir().join(format!("rillgate-fanout-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    certificate::make(&folder)?;
    let rillgate = std::env::var_os("RILLGATE").map(PathBuf::from).ok_or("RILLGATE names the gateway's program")?;
    let core = std::env::var("SERVER_CORE").ok().and_then(|core| core.parse().ok()).unwrap_or(0);
    let settings = ServerSettings {
        folder: folder.clone(),
        rillgate,
        core,
        second_core: None,
        is_tls: true,
        streams: 1,
        routes: 0,
        log: 1000,
        gather: Duration::ZERO,
        content: None,
    };
    let mut run = Run { only, size, settings, report: Report::new(is_kept)?, failed: 0 };
    scenarios.iter().try_for_each(|scenario| run.scenario(scenario))?;
    if run.failed > 0 {
        return Err(format!("rillgate failed in {} rows; its log is in {}", run.failed, folder.display()).into());
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}

impl Run {
    fn scenario(&mut self, scenario: &str) -> Outcome<()> {
        self.report.begin(scenario);
        match scenario {
            "tls" | "plain" => {
                let settings = ServerSettings { is_tls: scenario == "tls", ..self.settings.clone() };
                let kinds = [Kind::Ceiling, Kind::Rillgate, Kind::Nchan];
                let asked = self.calibrate(&settings, CEILING_SHARE);
                self.rounds(|run, round| {
                    kinds.into_iter().try_for_each(|kind| run.fan_out(kind, &settings, round, 0, asked))
                })?;
            }
            "h2" => {
                let settings = self.settings.clone();
                let asked = self.calibrate(&settings, CEILING_SHARE);
                self.rounds(|run, round| {
                    run.fan_out(Kind::Ceiling, &settings, round, 0, asked)?;
                    [1, 6, 100]
                        .into_iter()
                        .try_for_each(|streams| run.fan_out(Kind::Rillgate, &settings, round, streams, asked))
                })?;
            }
            "overload" => self.rounds(|run, round| {
                let settings = run.settings.clone();
                // A smoke test has few clients and a build without optimisation.
                let rate = if run.is_small() { 100.0 } else { 1_000_000.0 / run.size.clients as f64 };
                run.fan_out(Kind::Rillgate, &settings, round, 0, Asked::fixed(rate))
            })?,
            "replay" => self.rounds(|run, round| {
                let settings = run.settings.clone();
                [Kind::Rillgate, Kind::Nchan].into_iter().try_for_each(|kind| run.replay(kind, &settings, round))
            })?,
            "proxies" => {
                // A proxy has two sockets for each client, and a process no more than 20,000 descriptors in some places.
                let clients = self.size.clients;
                self.size.clients = (clients / 2).clamp(1, 5000);
                let settings = self.settings.clone();
                let kinds = [Kind::Ceiling, Kind::Rillgate, Kind::Nginx, Kind::Haproxy, Kind::Caddy];
                let asked = self.calibrate(&settings, PROXIES_SHARE);
                let outcome = self.rounds(|run, round| {
                    kinds.into_iter().try_for_each(|kind| run.fan_out(kind, &settings, round, 0, asked))
                });
                self.size.clients = clients;
                outcome?;
            }
            "growth" => self.growth()?,
            "abuse" => return self.abuse(),
            "storm" => return storm::measure(&self.settings, self.size.window),
            "cluster" => {
                self.keep_others("cluster");
                let Self { only, size, settings, report, .. } = self;
                cluster::measure(settings, *size, only.as_deref(), |row| report.keep(row))?;
            }
            "compression" => self.compression()?,
            "forward" => {
                self.keep_others("forward");
                let Self { only, size, settings, report, .. } = self;
                let outcome = forward::measure(settings, *size, only.as_deref(), |row| report.keep(row));
                report.end()?;
                return outcome;
            }
            "gather" => self.gather()?,
            "sizes" => self.sizes()?,
            "workers" => self.workers()?,
            "micro" => self.micro()?,
            "table" => {
                let folder = Path::new(RESULTS);
                println!("\n{}", table::goals(folder));
                picture::draw(folder)?;
                pages::write(folder)?;
            }
            _ => {}
        }
        self.report.end()
    }

    /// Rows that miss a goal are kept before they end the run.
    fn abuse(&mut self) -> Outcome<()> {
        let Self { only, size, settings, report, .. } = self;
        let is_smoke = size.clients < 1000;
        let settings = ServerSettings { is_tls: false, ..settings.clone() };
        let mut rows = Vec::new();
        let missed = abuse::measure(&settings, only.as_deref(), is_smoke, |row| rows.push(row))?;
        // Rows that were not run again stay as they were.
        let kept = Results::read(Path::new(RESULTS), "abuse");
        let earlier = kept.all().iter().filter(|_| only.is_some()).cloned();
        abuse::in_order(rows.into_iter().chain(earlier)).for_each(|row| report.keep(row));
        report.end()?;
        if missed > 0 && !is_smoke { Err(format!("{missed} rows miss a goal").into()) } else { Ok(()) }
    }

    /// Returns true if a part is measured.
    pub fn wants(&self, part: &str) -> bool {
        is_wanted(self.only.as_deref(), part)
    }

    /// Keeps the parts of a scenario that are not measured again as they were.
    pub fn keep_others(&mut self, scenario: &str) {
        let kept = Results::read(Path::new(RESULTS), scenario);
        let others = kept.all().iter().filter(|row| !self.wants(row["part"].as_str().unwrap_or_default()));
        let others: Vec<Value> = others.cloned().collect();
        others.into_iter().for_each(|row| self.report.keep(row));
    }

    /// Does this in every round.
    pub fn rounds(&mut self, mut round: impl FnMut(&mut Self, usize) -> Outcome<()>) -> Outcome<()> {
        (1..=self.size.rounds).try_for_each(|number| round(self, number))
    }

    /// A run that shows only that everything works.
    pub fn is_small(&self) -> bool {
        self.size.clients < 1000
    }

    /// Returns the rate for the clients of this run.
    pub fn calibrate(&self, settings: &ServerSettings, share: f64) -> Asked {
        let asked = calibrate(settings, self.size.clients, share, self.size.window.min(Duration::from_secs(1)));
        if self.is_small() {
            println!("a smoke test makes no figures; asked for: 10 events a second");
            return Asked::fixed(10.0);
        }
        asked
    }

    /// Clients read what one stream brings, at the rate that is asked.
    fn fan_out(
        &mut self,
        kind: Kind,
        settings: &ServerSettings,
        round: usize,
        h2_streams: usize,
        asked: Asked,
    ) -> Outcome<()> {
        let workload = self.fan_out_workload(h2_streams, asked);
        let row = Row { ceiling_share: asked.ceiling_share, ..Row::new(kind.name(), round) };
        self.measure(kind, settings, row, &workload)
    }

    /// Returns the workload of all clients at this rate.
    pub fn fan_out_workload(&self, h2_streams: usize, asked: Asked) -> Workload {
        let connections = self.size.clients / h2_streams.max(1);
        let (pace, window) = (Instruction::Rate(asked.rate), self.size.window);
        Workload { connections, h2_streams, pace, filled: 0, window, cores: None }
    }

    /// Measures a server under a workload and keeps the row.
    pub fn row(&mut self, kind: Kind, settings: &ServerSettings, round: usize, workload: &Workload) -> Outcome<()> {
        self.measure(kind, settings, Row::new(kind.name(), round), workload)
    }

    /// Measures a server under a workload and keeps this row.
    pub fn measure(&mut self, kind: Kind, settings: &ServerSettings, mut row: Row, workload: &Workload) -> Outcome<()> {
        (row.streams, row.log, row.routes) = (settings.streams, settings.log, settings.routes);
        row.gather_ms = settings.gather.as_millis() as u64;
        (row.clients, row.h2_streams) = (workload.connections.max(1), workload.h2_streams);
        if let Instruction::Rate(rate) = workload.pace {
            row.rate = rate;
        }
        self.keep(kind, row, |row| workload.measure(&mut Server::start(kind, settings)?, row))
    }

    /// Fills a row and keeps it. A missing, repeated or reordered event costs the row, because the figures of an incorrect
    /// server are worthless; the run goes on. At its end it fails if the gateway did.
    fn keep(&mut self, kind: Kind, mut row: Row, fill: impl FnOnce(&mut Row) -> Outcome<()>) -> Outcome<()> {
        if self.only.as_ref().is_some_and(|only| only != kind.name()) {
            return Ok(());
        }
        if !kind.is_installed() {
            println!("{:<14} is not installed", kind.name());
            return Ok(());
        }
        row.failed = fill(&mut row).map_err(|error| error.to_string()).err();
        self.report.add(&row);
        self.failed += usize::from(row.failed.is_some() && kind == Kind::Rillgate);
        Ok(())
    }

    /// All clients reconnect at once with the id of the event a hundred before the newest.
    fn replay(&mut self, kind: Kind, settings: &ServerSettings, round: usize) -> Outcome<()> {
        const SEEN: u64 = 10;
        const MISSED: u64 = 100;
        let clients = (self.size.clients / 2).max(1);
        let mut row = Row::new(kind.name(), round);
        (row.clients, row.streams) = (clients, 1);
        self.keep(kind, row, |row| {
            let mut server = Server::start(kind, settings)?;
            let mut client_settings = server.client_settings(0)?;
            // A probe reads the id after which to resume, and keeps the stream open.
            let mut probe = Load::new()?;
            probe.connect_probe(&client_settings)?;
            server.send(Instruction::Burst(SEEN))?;
            probe.receive_events(SEEN, Duration::from_secs(10))?;
            let id = probe.first().and_then(|response| response.scan.last_id.clone()).ok_or("the probe saw no id")?;
            server.send(Instruction::Burst(MISSED))?;
            probe.receive_events(SEEN + MISSED, Duration::from_secs(10))?;
            probe.verdict()?;
            client_settings.fields.push(("last-event-id".to_owned(), id));
            client_settings.first = SEEN + 1;

            let mut load = Load::new()?;
            let before = process::cpu_seconds(&server.processes());
            let start = std::time::Instant::now();
            load.connect(&client_settings, clients, Duration::from_secs(60))?;
            load.receive_events(clients as u64 * MISSED, Duration::from_secs(30))?;
            row.connect_seconds = start.elapsed().as_secs_f64();
            let cpu = process::cpu_seconds(&server.processes()) - before;
            row.cpu_per_million = cpu * 1e6 / load.tally.events as f64;
            row.connect_micros = cpu * 1e6 / clients as f64;
            row.deliveries_per_second = load.tally.events as f64 / row.connect_seconds;
            row.received(&load);
            load.settle(server.sent()?, Duration::from_secs(5))?;
            load.verdict()
        })
    }
}
