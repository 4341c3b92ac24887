//! The table of the scenario `forward`, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::table::{Results, median, number, range, short};

/// The servers, by column.
const SERVERS: [&str; 3] = ["rillgate", "nginx", "caddy"];

/// Formats the kept figures: medians of the rounds.
pub fn table(results: &Path) -> String {
    let kept = Results::read(results, "forward");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; medians of {} rounds)\n\n| | rillgate | nginx | caddy |\n|---|---|---|---|\n",
        kept.rounds()
    );
    for (title, part, figures) in [
        ("a small request: CPU µs", "requests", &["/cpu_micros"][..]),
        ("… p50 / p99 ms", "requests", &["/p50_ms", "/p99_ms"]),
        ("1 GiB to a client: CPU s", "bodies", &["/down/cpu_seconds"]),
        ("… seconds / MiB that memory grew", "bodies", &["/down/seconds", "/down/grown_kib"]),
        ("1 GiB from a client: CPU s", "bodies", &["/up/cpu_seconds"]),
        ("… seconds / MiB that memory grew", "bodies", &["/up/seconds", "/up/grown_kib"]),
        ("a WebSocket message, there and back: CPU µs", "sockets", &["/cpu_micros"]),
        ("… p50 / p99 ms", "sockets", &["/p50_ms", "/p99_ms"]),
        ("… messages / MiB that memory grew", "sockets", &["/count", "/grown_kib"]),
    ] {
        let _ = write!(text, "| {title} |");
        for server in SERVERS {
            let of = |figure: &&str| cell(&figures_of(&kept, server, part, figure), figure);
            let _ = write!(text, " {} |", figures.iter().map(of).collect::<Vec<_>>().join(" / "));
        }
        text.push('\n');
        if figures.len() == 1 {
            let ratios = ratios(&kept, part, figures[0]);
            let _ = writeln!(text, "| … of rillgate / nginx | {} | | |", range(&ratios));
        }
    }
    for (title, figure) in [
        ("deliveries of a stream, the requests going to the application directly: p50 / p99 ms", "direct"),
        ("… the requests going through the gateway: p50 / p99 ms", "forwarded"),
    ] {
        let of = |quantile: &str| {
            let figure = format!("/{figure}_{quantile}_ms");
            cell(&figures_of(&kept, "rillgate", "beside", &figure), &figure)
        };
        let _ = writeln!(text, "| {title} | {} / {} | | |", of("p50"), of("p99"));
    }
    let ratios = figures_of(&kept, "rillgate", "beside", "/p99_ratio");
    let _ = writeln!(text, "| … p99, the second / the first | {} | | |", range(&ratios));
    let failed = kept.all().iter().filter_map(|row| {
        let failed = row["failed"].as_str()?;
        Some(format!(
            "{} failed in round {} of `{}`: {failed}",
            row["server"].as_str()?,
            row["round"],
            row["part"].as_str()?
        ))
    });
    for failed in failed {
        let _ = writeln!(text, "\n{failed}.");
    }
    text
}

/// Returns the ratios of the gateway to nginx in the same rounds.
pub fn ratios(kept: &Results, part: &str, figure: &str) -> Vec<f64> {
    let of = |server: &'static str| kept.all().iter().filter(move |row| row["server"] == server && row["part"] == part);
    let ratio = |row: &Value| {
        let other = of("nginx").find(|other| other["round"] == row["round"])?;
        Some(row["figures"].pointer(figure)?.as_f64()? / other["figures"].pointer(figure)?.as_f64()?)
    };
    of("rillgate").filter_map(ratio).collect()
}

fn figures_of(kept: &Results, server: &str, part: &str, figure: &str) -> Vec<f64> {
    let rows = kept.all().iter().filter(|row| row["server"] == server && row["part"] == part);
    rows.filter_map(|row| row["figures"].pointer(figure)?.as_f64()).collect()
}

fn cell(values: &[f64], figure: &str) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let value = median(values.to_vec());
    match figure.ends_with("_kib") {
        // A shrinking process has not grown.
        true => short((value / 1024.0).max(0.0)),
        false => number(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(server: &str, round: u64, micros: f64) -> Value {
        json!({ "server": server, "round": round, "part": "requests", "figures": { "cpu_micros": micros } })
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_need_both_servers() {
        let kept = Results::of(vec![
            row("rillgate", 1, 60.0),
            row("nginx", 1, 40.0),
            row("rillgate", 2, 100.0),
            row("nginx", 2, 50.0),
            row("rillgate", 3, 100.0),
        ]);

        assert_eq!(ratios(&kept, "requests", "/cpu_micros"), [1.5, 2.0]);
        assert_eq!(range(&[1.5, 2.0]), "2.00 (1.50..2.00)");
        assert_eq!(cell(&[], "/cpu_micros"), "-");
        assert_eq!(cell(&[-5.0], "/grown_kib"), "0.00");
    }
}
