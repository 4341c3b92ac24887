//! The tables of the scenario `compression`, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::table::{Results, goal, median, number, range};

/// Formats the kept figures: what was measured, then the goals.
pub fn table(results: &Path) -> String {
    let kept = Results::read(results, "compression");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; {} rounds of the CPU)\n\n| | identity | gzip | of identity | zstd | of identity |\n|---|---|---|---|---|---|\n",
        kept.rounds()
    );
    for (title, part, what, figure) in [
        ("a tick: bytes with HTTP's framing", "bytes", "ticks", "http_bytes"),
        ("… with TLS records", "bytes", "ticks", "wire_bytes"),
        ("a token: bytes with HTTP's framing", "bytes", "tokens", "http_bytes"),
        ("… with TLS records", "bytes", "tokens", "wire_bytes"),
        ("a row of HTML: bytes with HTTP's framing", "bytes", "rows", "http_bytes"),
        ("… with TLS records", "bytes", "rows", "wire_bytes"),
        ("a delivery of a tick: CPU µs", "cpu", "ticks", "cpu_micros"),
        ("a log of 1,000 ticks: KiB counted", "memory", "1000 events", "counted_kib"),
        ("… of the process (PSS)", "memory", "1000 events", "pss_kib"),
        ("a log of 10,000 ticks: KiB counted", "memory", "10000 events", "counted_kib"),
        ("… of the process (PSS)", "memory", "10000 events", "pss_kib"),
    ] {
        let _ = write!(text, "| {title} | {} |", cell(&figures(&kept, part, what, "identity", figure)));
        for coding in ["gzip", "zstd"] {
            let figures = cell(&figures(&kept, part, what, coding, figure));
            let _ = write!(text, " {figures} | {} |", range_of_rounds(&ratios(&kept, part, what, coding, figure)));
        }
        text.push('\n');
    }
    text.push_str("\n| gzip / identity | measured | least..most | must | aim | |\n|---|---|---|---|---|---|\n");
    for (title, part, what, figure, must, aim) in [
        ("bytes of ticks", "bytes", "ticks", "http_bytes", 0.30, 0.22),
        ("bytes of tokens", "bytes", "tokens", "http_bytes", 0.12, 0.08),
        ("bytes of rows of HTML", "bytes", "rows", "http_bytes", 0.25, 0.17),
        ("CPU per delivery, HTTP/1.1 over TLS", "cpu", "ticks", "cpu_micros", 1.05, 0.95),
        ("memory of a log of 1,000 ticks", "memory", "1000 events", "counted_kib", 1.6, 1.3),
        ("memory of a log of 10,000 ticks", "memory", "10000 events", "counted_kib", 1.6, 1.3),
    ] {
        text.push_str(&goal(title, &ratios(&kept, part, what, "gzip", figure), must, aim));
    }
    for row in kept.all() {
        if let (Some(failed), Some(part), Some(coding)) =
            (row["failed"].as_str(), row["part"].as_str(), row["coding"].as_str())
        {
            let _ = writeln!(text, "\n`{part}` with {coding} failed in round {}: {failed}.", row["round"]);
        }
    }
    text
}

fn rows<'k>(kept: &'k Results, part: &'k str, what: &'k str, coding: &'k str) -> impl Iterator<Item = &'k Value> {
    kept.all().iter().filter(move |row| row["part"] == part && row["what"] == what && row["coding"] == coding)
}

fn figures(kept: &Results, part: &str, what: &str, coding: &str, figure: &str) -> Vec<f64> {
    rows(kept, part, what, coding).filter_map(|row| row["figures"][figure].as_f64()).collect()
}

/// Returns the ratios of a coding to identity in the same rounds.
fn ratios(kept: &Results, part: &str, what: &str, coding: &str, figure: &str) -> Vec<f64> {
    let ratio = |row: &Value| {
        let other = rows(kept, part, what, "identity").find(|other| other["round"] == row["round"])?;
        Some(row["figures"][figure].as_f64()? / other["figures"][figure].as_f64()?)
    };
    rows(kept, part, what, coding).filter_map(ratio).collect()
}

fn cell(values: &[f64]) -> String {
    if values.is_empty() { "-".to_owned() } else { number(median(values.to_vec())) }
}

/// The median, and of several rounds the least and the most.
fn range_of_rounds(values: &[f64]) -> String {
    if values.len() < 2 { cell(values) } else { range(values) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let row = |coding: &str, round: u64, micros: f64| json!({ "part": "cpu", "what": "ticks", "coding": coding, "round": round, "figures": { "cpu_micros": micros } });
        let kept = Results::of(vec![
            row("identity", 1, 8.0),
            row("gzip", 1, 6.0),
            row("identity", 2, 10.0),
            row("gzip", 2, 10.0),
            row("gzip", 3, 10.0),
        ]);

        let ratios = ratios(&kept, "cpu", "ticks", "gzip", "cpu_micros");

        assert_eq!(ratios, [0.75, 1.0]);
        assert_eq!(range_of_rounds(&ratios), "1.00 (0.75..1.00)");
        assert_eq!(range_of_rounds(&[]), "-");
    }
}
