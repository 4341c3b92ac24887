//! Tables for people, JSON for later, a picture for the README.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::load::Load;

/// One server in one round.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub server: &'static str,
    pub round: usize,
    pub clients: usize,
    pub h2_streams: usize,
    pub streams: usize,
    pub log: usize,
    pub routes: usize,
    pub rate: f64,
    pub cpu_per_million: f64,
    pub deliveries_per_second: f64,
    pub core_share: f64,
    /// Of the server's core, what others used.
    pub other_share: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub idle_kib: f64,
    pub active_kib: f64,
    pub connect_micros: f64,
    pub connect_seconds: f64,
    pub gaps: u64,
    pub repeats: u64,
    pub lost: usize,
}

impl Row {
    /// Nothing measured yet.
    pub fn new(server: &'static str, round: usize) -> Self {
        Self { server, round, ..Self::default() }
    }

    /// What the clients saw.
    pub fn received(&mut self, load: &Load) {
        (self.p50_ms, self.p99_ms) = (load.tally.milliseconds(0.5), load.tally.milliseconds(0.99));
        (self.gaps, self.repeats, self.lost) = (load.tally.gaps, load.tally.repeats, load.lost);
    }

    /// What it is called in tables.
    fn name(&self) -> String {
        match self.h2_streams {
            0 => self.server.to_owned(),
            streams => format!("{} h2/{streams}", self.server),
        }
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "round": self.round, "clients": self.clients, "h2_streams": self.h2_streams,
            "streams": self.streams, "log": self.log, "routes": self.routes, "rate": rounded(self.rate),
            "cpu_seconds_per_million": rounded(self.cpu_per_million),
            "deliveries_per_second": self.deliveries_per_second.round(),
            "core_share": rounded(self.core_share), "other_share": rounded(self.other_share),
            "p50_ms": rounded(self.p50_ms), "p99_ms": rounded(self.p99_ms),
            "idle_kib": rounded(self.idle_kib), "active_kib": rounded(self.active_kib),
            "connect_micros": rounded(self.connect_micros), "connect_seconds": rounded(self.connect_seconds),
            "gaps": self.gaps, "repeats": self.repeats, "lost": self.lost,
        })
    }
}

/// All rows of a scenario.
pub struct Report {
    scenario: String,
    rows: Vec<Row>,
    folder: Option<PathBuf>,
}

impl Report {
    /// Kept in `benches/results`, or only printed.
    pub fn new(is_kept: bool) -> Outcome<Self> {
        let folder = is_kept.then(|| PathBuf::from("benches/results"));
        if let Some(folder) = &folder {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { scenario: String::new(), rows: Vec::new(), folder })
    }

    /// Another scenario.
    pub fn begin(&mut self, scenario: &str) {
        self.scenario = scenario.to_owned();
        self.rows.clear();
        if scenario != "table" {
            println!("\n== {scenario}");
            println!(
                "{:<16} {:>6} {:>7} {:>8} {:>9} {:>6} {:>6} {:>7} {:>7} {:>8} {:>8} {:>9}  wrong",
                "server",
                "round",
                "clients",
                "CPU-s/M",
                "per s",
                "core",
                "other",
                "p50 ms",
                "p99 ms",
                "idle KiB",
                "live KiB",
                "connect µs"
            );
        }
    }

    /// A row is complete. What a client missed or got twice ends the run: figures of a wrong server are worth nothing.
    pub fn add(&mut self, row: Row) -> Outcome<()> {
        println!(
            "{:<16} {:>6} {:>7} {:>8.2} {:>9.0} {:>5.0}% {:>5.0}% {:>7.1} {:>7.1} {:>8.1} {:>8.1} {:>9.0}  {}/{}/{}",
            row.name(),
            row.round,
            row.clients,
            row.cpu_per_million,
            row.deliveries_per_second,
            row.core_share * 100.0,
            row.other_share * 100.0,
            row.p50_ms,
            row.p99_ms,
            row.idle_kib,
            row.active_kib,
            row.connect_micros,
            row.gaps,
            row.repeats,
            row.lost,
        );
        let is_ours = row.server == "rillgate";
        let is_wrong = row.gaps + row.repeats > 0 || row.lost > 0 || row.deliveries_per_second == 0.0;
        self.rows.push(row);
        match is_ours && is_wrong {
            true => Err("rillgate lost, repeated or dropped something".into()),
            false => Ok(()),
        }
    }

    /// Completes the last row.
    pub fn note(&mut self, note: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.last_mut() {
            note(row);
        }
    }

    /// The scenario is complete.
    pub fn end(&mut self) -> Outcome<()> {
        self.summary();
        let Some(folder) = &self.folder else { return Ok(()) };
        if !self.rows.is_empty() {
            let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
            let kept = json!({ "scenario": self.scenario, "machine": machine(), "rows": rows });
            fs::write(folder.join(format!("{}.json", self.scenario)), serde_json::to_string_pretty(&kept)? + "\n")?;
        }
        Ok(())
    }

    fn summary(&self) {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.name()) {
                names.push(row.name());
            }
        }
        if self.scenario == "growth" || self.rows.is_empty() {
            return;
        }
        println!();
        for name in names {
            let of = |value: fn(&Row) -> f64| -> Vec<f64> {
                self.rows.iter().filter(|row| row.name() == name).map(value).collect()
            };
            let cpu = of(|row| row.cpu_per_million);
            let ratios: Vec<f64> = self
                .rows
                .iter()
                .filter(|row| row.name() == name)
                .filter_map(|row| {
                    let ceiling =
                        self.rows.iter().find(|other| other.round == row.round && other.server == "ceiling")?;
                    Some(row.cpu_per_million / ceiling.cpu_per_million)
                })
                .collect();
            let (least, most) = cpu.iter().fold((f64::MAX, 0.0_f64), |(least, most), &x| (least.min(x), most.max(x)));
            print!("{name:<16} {:>6.2} ({least:.2}..{most:.2}) CPU-s/M", median(cpu));
            if !ratios.is_empty() {
                print!(", {:.2} x ceiling", median(ratios));
            }
            println!(
                ", p50/p99 {:.0}/{:.0} ms, {:.1} KiB idle, {:.0} µs a connect",
                median(of(|row| row.p50_ms)),
                median(of(|row| row.p99_ms)),
                median(of(|row| row.idle_kib)),
                median(of(|row| row.connect_micros)),
            );
        }
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> f64 {
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
    machine.insert("kernel".into(), output("uname", "-r").into());
    machine.insert("date".into(), output("date", "-I").into());
    machine.insert("rustc".into(), output("rustc", "-V").into());
    machine.into()
}
