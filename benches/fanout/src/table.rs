//! The goals, and how far the stored results meet them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The stored rows of one scenario, and the machine that measured them.
pub struct Results {
    rows: Vec<Value>,
    machine: Value,
}

/// The gateway with one worker.
pub const ONE_WORKER: &str = "rillgate";

/// The gateway with two workers, each on a core.
pub const TWO_WORKERS: &str = "rillgate, two workers";

/// The figure that servers are compared by.
pub const CPU: &str = "cpu_seconds_per_million";

impl Results {
    /// Reads the results of a scenario; without rows if it has not been run.
    pub fn read(folder: &Path, scenario: &str) -> Self {
        let text = fs::read_to_string(folder.join(format!("{scenario}.json"))).unwrap_or_default();
        let mut kept: Value = serde_json::from_str(&text).unwrap_or_default();
        let machine = kept["machine"].take();
        Self { rows: kept["rows"].as_array().cloned().unwrap_or_default(), machine }
    }

    /// Wraps rows of this run.
    pub fn of(rows: Vec<Value>) -> Self {
        Self { rows, machine: Value::Null }
    }

    /// Returns all rows.
    pub fn all(&self) -> &[Value] {
        &self.rows
    }

    /// Day, processor, kernel and compiler; nothing if it has not been run.
    pub fn machine(&self) -> Option<String> {
        let name = |name: &str| self.machine[name].as_str();
        let kernel = name("kernel")?.split('-').next()?;
        let rustc = name("rustc")?.split(' ').nth(1)?;
        Some(format!("{}, {}, Linux {kernel}, rustc {rustc}", name("date")?, name("cpu")?))
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> u64 {
        self.rows.iter().filter_map(|row| row["round"].as_u64()).max().unwrap_or(0)
    }

    /// Returns the rows in order: the name in tables, the server, the streams per connection.
    pub fn servers(&self) -> Vec<(String, String, u64)> {
        let mut servers = Vec::new();
        for row in &self.rows {
            let (Some(server), Some(streams)) = (row["server"].as_str(), row["h2_streams"].as_u64()) else { continue };
            let name = if streams == 0 { server.to_owned() } else { format!("{server} h2/{streams}") };
            if !servers.iter().any(|(known, _, _)| *known == name) {
                servers.push((name, server.to_owned(), streams));
            }
        }
        servers
    }

    fn rows(&self, server: &str, h2_streams: u64) -> impl Iterator<Item = &Value> {
        self.rows
            .iter()
            .filter(move |row| row["server"] == server && row["h2_streams"] == h2_streams && row["failed"].is_null())
    }

    /// A figure of all rounds that did not fail.
    pub fn figures(&self, server: &str, h2_streams: u64, name: &str) -> Vec<f64> {
        self.rows(server, h2_streams).filter_map(|row| row[name].as_f64()).collect()
    }

    /// The median of a figure.
    pub fn figure(&self, server: &str, h2_streams: u64, name: &str) -> Option<f64> {
        let figures = self.figures(server, h2_streams, name);
        (!figures.is_empty()).then(|| median(figures))
    }

    /// The ratios to another server in the same round.
    fn ratios(&self, server: &str, h2_streams: u64, to: &str, name: &str) -> Vec<f64> {
        let ratio = |row: &Value| {
            let other = self.rows(to, 0).find(|other| other["round"] == row["round"])?;
            Some(row[name].as_f64()? / other[name].as_f64()?)
        };
        self.rows(server, h2_streams).filter_map(ratio).collect()
    }

    /// Returns the median of the ratios.
    pub fn ratio(&self, server: &str, h2_streams: u64, to: &str, name: &str) -> Option<f64> {
        let ratios = self.ratios(server, h2_streams, to, name);
        (!ratios.is_empty()).then(|| median(ratios))
    }
}

/// Returns the median; of an even number of values the upper one, which is the worse.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The goals beside what is kept in `folder`, in Markdown.
pub fn goals(folder: &Path) -> String {
    let read = |scenario: &str| Results::read(folder, scenario);
    let (tls, plain, h2, overload, replay) = (read("tls"), read("plain"), read("h2"), read("overload"), read("replay"));
    let workers = read("workers");
    let lines = [
        ("HTTP/1.1 over TLS, CPU per delivery / ceiling", tls.ratios("rillgate", 0, "ceiling", CPU), 0.97, 0.90),
        ("the same / nchan", tls.ratios("rillgate", 0, "nchan", CPU), 0.55, 0.48),
        ("HTTP/1.1 in the clear, CPU per delivery / ceiling", plain.ratios("rillgate", 0, "ceiling", CPU), 1.20, 1.05),
        ("HTTP/2, 1 stream a connection / ceiling of HTTP/1.1", h2.ratios("rillgate", 1, "ceiling", CPU), 1.15, 1.0),
        ("HTTP/2, 6 streams / the same", h2.ratios("rillgate", 6, "ceiling", CPU), 0.30, 0.20),
        ("HTTP/2, 100 streams / the same", h2.ratios("rillgate", 100, "ceiling", CPU), 0.12, 0.05),
        ("one stream, two workers / one, CPU per delivery", workers.ratios(TWO_WORKERS, 0, ONE_WORKER, CPU), 1.0, 0.97),
        ("KiB (PSS) of an idle client, HTTP/1.1 over TLS", tls.figures("rillgate", 0, "idle_kib"), 7.5, 4.0),
        ("KiB of an idle connection, HTTP/2, 1 stream", h2.figures("rillgate", 1, "idle_kib"), 25.0, 20.0),
        (
            "1,000,000 deliveries a second asked of one core, p99 in ms",
            overload.figures("rillgate", 0, "p99_ms"),
            200.0,
            100.0,
        ),
        (
            "CPU per TLS connection / a bare accept loop",
            tls.ratios("rillgate", 0, "ceiling", "connect_micros"),
            1.5,
            1.1,
        ),
        (
            "5,000 come back for 100 events each, CPU / nchan",
            replay.ratios("rillgate", 0, "nchan", "connect_micros"),
            0.25,
            0.15,
        ),
    ];
    let mut text = "| | measured | least..most | must | aim | |\n|---|---|---|---|---|---|\n".to_owned();
    for (what, figures, must, aim) in lines {
        text.push_str(&goal(what, &figures, must, aim));
    }
    if let Some(machine) = tls.machine() {
        let rounds = tls.rounds();
        let _ = writeln!(
            text,
            "\nThe first two: {machine}, {rounds} rounds; what the others are of stands with their figures."
        );
    }
    if let Some(rate) = overload.figure("rillgate", 0, "deliveries_per_second") {
        let share = overload.figure("rillgate", 0, "core_share").unwrap_or(0.0) * 100.0;
        let _ = writeln!(
            text,
            "Under overload {} deliveries a second arrived, with {share:.0} % of the core.",
            thousands(rate)
        );
    }
    text
}

/// Formats a goal as a line of a table: the median of the figures, their range, and how it compares.
pub fn goal(what: &str, figures: &[f64], must: f64, aim: f64) -> String {
    let (least, most) = figures.iter().fold((f64::MAX, 0.0_f64), |(least, most), &x| (least.min(x), most.max(x)));
    let (figure, range, verdict) = if figures.is_empty() {
        ("-".to_owned(), "-".to_owned(), "not measured")
    } else {
        let figure = median(figures.to_vec());
        let verdict = match (figure <= aim, figure <= must) {
            (true, _) => "aim reached",
            (false, true) => "reached",
            (false, false) => "missed",
        };
        (short(figure), format!("{}..{}", short(least), short(most)), verdict)
    };
    format!("| {what} | {figure} | {range} | {must} | {aim} | {verdict} |\n")
}

/// Formats a number with its significant digits.
pub fn short(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A figure with three digits, or a whole number with commas.
pub fn number(value: f64) -> String {
    if value >= 1000.0 { thousands(value) } else { short(value) }
}

/// The median, and the least and the most.
pub fn range(values: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let (least, most) = values.iter().fold((f64::MAX, 0.0_f64), |(least, most), &x| (least.min(x), most.max(x)));
    format!("{} ({}..{})", short(median(values.to_vec())), short(least), short(most))
}

/// A whole number with commas.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
