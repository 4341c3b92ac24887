//! The results of a scenario: rows printed as they arrive, and JSON in a file.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::load::Load;
use crate::plan::RESULTS;
use crate::table::{Results, median};

/// The result of one server in one round.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub server: &'static str,
    pub round: usize,
    pub clients: usize,
    pub h2_streams: usize,
    pub streams: usize,
    /// The capacity of the log, and the number of events in it before the clients connected, if it was filled.
    pub log: usize,
    pub in_log: usize,
    /// Memory of the process for each of those, in bytes.
    pub event_bytes: f64,
    pub routes: usize,
    pub gather_ms: u64,
    pub rate: f64,
    /// The part of the ceiling's deliveries that the rate follows; 0 if it is fixed.
    pub ceiling_share: f64,
    pub cpu_per_million: f64,
    pub deliveries_per_second: f64,
    pub core_share: f64,
    /// The share of the server's core that other processes used.
    pub other_share: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub idle_kib: f64,
    pub active_kib: f64,
    pub connect_micros: f64,
    pub connect_seconds: f64,
    /// Bytes of a delivery, with HTTP's framing and TLS.
    pub wire_bytes: f64,
    /// The error, if there was one. The row is then shown and counts in no ratio.
    pub failed: Option<String>,
}

impl Row {
    /// Returns a row without measurements.
    pub fn new(server: &'static str, round: usize) -> Self {
        Self { server, round, ..Self::default() }
    }

    /// Adds the clients' measurements.
    pub fn received(&mut self, load: &Load) {
        (self.p50_ms, self.p99_ms) = (load.tally.milliseconds(0.5), load.tally.milliseconds(0.99));
        self.wire_bytes = load.tally.wire_bytes as f64 / load.tally.events.max(1) as f64;
    }

    /// Deliveries that a second of one core's time is enough for.
    fn per_core_second(&self) -> f64 {
        if self.cpu_per_million > 0.0 { 1e6 / self.cpu_per_million } else { 0.0 }
    }

    /// Returns the name for tables.
    fn name(&self) -> String {
        match self.h2_streams {
            0 => self.server.to_owned(),
            streams => format!("{} h2/{streams}", self.server),
        }
    }

    /// Deliveries a second that are asked for.
    fn asked(&self) -> f64 {
        self.rate * (self.clients * self.h2_streams.max(1)) as f64
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "round": self.round, "clients": self.clients, "h2_streams": self.h2_streams,
            "streams": self.streams, "log": self.log, "in_log": self.in_log, "event_bytes": rounded(self.event_bytes),
            "routes": self.routes, "gather_ms": self.gather_ms, "rate": rounded(self.rate),
            "ceiling_share": rounded(self.ceiling_share),
            "cpu_seconds_per_million": rounded(self.cpu_per_million),
            "deliveries_per_second": self.deliveries_per_second.round(),
            "deliveries_per_core_second": self.per_core_second().round(),
            "core_share": rounded(self.core_share), "other_share": rounded(self.other_share),
            "p50_ms": rounded(self.p50_ms), "p99_ms": rounded(self.p99_ms),
            "idle_kib": rounded(self.idle_kib), "active_kib": rounded(self.active_kib),
            "connect_micros": rounded(self.connect_micros), "connect_seconds": rounded(self.connect_seconds),
            "failed": self.failed,
        })
    }

    fn print(&self) {
        print!(
            "{:<14} {:>2} {:>6} {:>5} {:>8} {:>6} {:>4} {:>7.2} {:>8.0} {:>8.0} {:>8.0} {:>4.0}% {:>4.0}% {:>7.1} {:>7.1} {:>7.1} \
             {:>7.1} {:>6.0} ",
            self.name(),
            self.round,
            self.clients,
            self.streams,
            self.log,
            self.routes,
            self.gather_ms,
            self.cpu_per_million,
            self.asked(),
            self.deliveries_per_second,
            self.per_core_second(),
            self.core_share * 100.0,
            self.other_share * 100.0,
            self.p50_ms,
            self.p99_ms,
            self.idle_kib,
            self.active_kib,
            self.connect_micros,
        );
        match &self.failed {
            None => println!(" ok"),
            Some(why) => println!(" failed: {why}"),
        }
    }
}

/// All rows of a scenario.
pub struct Report {
    scenario: String,
    rows: Vec<Value>,
    is_kept: bool,
}

impl Report {
    /// Returns an empty report, stored in [`RESULTS`] or only printed.
    pub fn new(is_kept: bool) -> Outcome<Self> {
        if is_kept {
            fs::create_dir_all(RESULTS)?;
        }
        Ok(Self { scenario: String::new(), rows: Vec::new(), is_kept })
    }

    /// Starts a scenario.
    pub fn begin(&mut self, scenario: &str) {
        self.scenario = scenario.to_owned();
        self.rows.clear();
        if scenario != "table" {
            println!("\n== {scenario}");
        }
        if !matches!(scenario, "table" | "sizes" | "micro" | "abuse" | "cluster" | "forward" | "compression") {
            println!(
                "{:<14} {:>2} {:>6} {:>5} {:>8} {:>6} {:>4} {:>7} {:>8} {:>8} {:>8} {:>5} {:>5} {:>7} {:>7} {:>7} {:>7} {:>6}",
                "server",
                "",
                "conns",
                "strms",
                "log",
                "routes",
                "gath",
                "CPU-s/M",
                "asked/s",
                "/s",
                "/s/core",
                "core",
                "other",
                "p50 ms",
                "p99 ms",
                "idleKiB",
                "liveKiB",
                "µs/con",
            );
        }
    }

    /// Adds a complete row.
    pub fn add(&mut self, row: &Row) {
        row.print();
        self.rows.push(row.json());
    }

    /// Adds a row of another shape.
    pub fn keep(&mut self, row: Value) {
        self.rows.push(row);
    }

    /// Ends the scenario.
    pub fn end(&mut self) -> Outcome<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if !matches!(
            self.scenario.as_str(),
            "growth" | "gather" | "sizes" | "micro" | "abuse" | "cluster" | "forward" | "compression"
        ) {
            summary(&self.rows);
        }
        if self.is_kept {
            let kept = json!({ "scenario": self.scenario, "machine": machine(), "rows": self.rows });
            let file = PathBuf::from(RESULTS).join(format!("{}.json", self.scenario));
            fs::write(file, serde_json::to_string_pretty(&kept)? + "\n")?;
        }
        Ok(())
    }
}

/// The median of each server's rounds.
fn summary(rows: &[Value]) {
    println!();
    let kept = Results::of(rows.to_vec());
    for (name, server, h2_streams) in kept.servers() {
        let of = |figure: &str| kept.figures(&server, h2_streams, figure);
        let cpu = of("cpu_seconds_per_million");
        if cpu.is_empty() {
            println!("{name:<14} failed in every round");
            continue;
        }
        let (least, most) = cpu.iter().fold((f64::MAX, 0.0_f64), |(least, most), &x| (least.min(x), most.max(x)));
        print!("{name:<14} {:>6.2} ({least:.2}..{most:.2}) CPU-s/M", median(cpu));
        if let Some(ratio) = kept.ratio(&server, h2_streams, "ceiling", "cpu_seconds_per_million") {
            print!(", {ratio:.2} x ceiling");
        }
        println!(
            ", {:.0} deliveries/s/core, p50/p99 {:.0}/{:.0} ms, {:.1} KiB idle, {:.0} µs a connect",
            median(of("deliveries_per_core_second")),
            median(of("p50_ms")),
            median(of("p99_ms")),
            median(of("idle_kib")),
            median(of("connect_micros")),
        );
    }
}

/// Rounds to a thousandth.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn machine() -> Value {
    let output = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let mut machine = Map::new();
    machine.insert("cpu".into(), model.trim_start_matches(['\t', ' ', ':']).into());
    machine.insert("cores".into(), std::thread::available_parallelism().map_or(0, usize::from).into());
    machine.insert("kernel".into(), output("uname", "-r").into());
    machine.insert("date".into(), output("date", "-I").into());
    machine.insert("rustc".into(), output("rustc", "-V").into());
    machine.into()
}
