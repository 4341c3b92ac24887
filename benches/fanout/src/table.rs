//! What the kept figures come to: the goals, and how far they are met.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Outcome;
use crate::report::median;

/// The rows that one scenario has left.
pub struct Kept(Vec<Value>);

impl Kept {
    /// Reads them; none if it has not been run.
    pub fn read(folder: &Path, scenario: &str) -> Self {
        let text = fs::read_to_string(folder.join(format!("{scenario}.json"))).unwrap_or_default();
        let kept: Value = serde_json::from_str(&text).unwrap_or_default();
        Self(kept["rows"].as_array().cloned().unwrap_or_default())
    }

    fn rows(&self, server: &str, h2_streams: u64) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |row| row["server"] == server && row["h2_streams"] == h2_streams)
    }

    /// The median of a figure.
    pub fn figure(&self, server: &str, h2_streams: u64, name: &str) -> Option<f64> {
        let figures: Vec<_> = self.rows(server, h2_streams).filter_map(|row| row[name].as_f64()).collect();
        (!figures.is_empty()).then(|| median(figures))
    }

    /// The median of the ratios to another server in the same round.
    fn ratio(&self, server: &str, h2_streams: u64, to: &str, name: &str) -> Option<f64> {
        let ratios: Vec<_> = self
            .rows(server, h2_streams)
            .filter_map(|row| {
                let other = self.rows(to, 0).find(|other| other["round"] == row["round"])?;
                Some(row[name].as_f64()? / other[name].as_f64()?)
            })
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }
}

/// Prints the goals beside what is kept in `folder`.
pub fn print(folder: &Path) -> Outcome<()> {
    const CPU: &str = "cpu_seconds_per_million";
    let read = |scenario: &str| Kept::read(folder, scenario);
    let (tls, plain, h2, overload, replay) = (read("tls"), read("plain"), read("h2"), read("overload"), read("replay"));
    let lines = [
        ("h1 TLS, CPU per delivery / ceiling", tls.ratio("rillgate", 0, "ceiling", CPU), 1.15, 1.00),
        ("h1 TLS, CPU per delivery / nchan", tls.ratio("rillgate", 0, "nchan", CPU), 0.55, 0.48),
        ("h1 plain, CPU per delivery / ceiling", plain.ratio("rillgate", 0, "ceiling", CPU), 1.20, 1.05),
        ("h2, 1 stream a connection / ceiling", h2.ratio("rillgate", 1, "ceiling", CPU), 1.7, 1.3),
        ("h2, 6 streams / ceiling", h2.ratio("rillgate", 6, "ceiling", CPU), 0.5, 0.3),
        ("h2, 100 streams / ceiling", h2.ratio("rillgate", 100, "ceiling", CPU), 0.18, 0.05),
        ("KiB an idle TLS client, h1", tls.figure("rillgate", 0, "idle_kib"), 6.0, 4.5),
        ("KiB an idle TLS connection, h2, 1 stream", h2.figure("rillgate", 1, "idle_kib"), 26.0, 20.0),
        ("overload over TLS, p99 in ms", overload.figure("rillgate", 0, "p99_ms"), 200.0, 100.0),
        ("CPU per TLS connect / raw accept loop", tls.ratio("rillgate", 0, "ceiling", "connect_micros"), 1.5, 1.1),
        ("replay storm, CPU / nchan", replay.ratio("rillgate", 0, "nchan", "connect_micros"), 0.25, 0.15),
    ];
    println!("\n| | measured | must | aim | |\n|---|---|---|---|---|");
    for (what, figure, must, aim) in lines {
        let (figure, verdict) = match figure {
            None => ("-".to_owned(), "not measured"),
            Some(figure) if figure <= aim => (format!("{figure:.2}"), "aim reached"),
            Some(figure) if figure <= must => (format!("{figure:.2}"), "reached"),
            Some(figure) => (format!("{figure:.2}"), "missed"),
        };
        println!("| {what} | {figure} | {must} | {aim} | {verdict} |");
    }
    if let Some(rate) = overload.figure("rillgate", 0, "deliveries_per_second") {
        println!("\noverload: {rate:.0} deliveries a second by one core");
    }
    Ok(())
}
