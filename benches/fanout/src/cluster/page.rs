//! The table of the scenario `cluster`, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::table::{Results, median, number};

/// Formats the kept figures: medians of the rounds.
pub fn table(results: &Path) -> String {
    let kept = Results::read(results, "cluster");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; medians of {} rounds)\n\n| | one gateway | three gateways, three replicas |\n|---|---|---|\n",
        kept.rounds()
    );
    for (title, what, figures) in [
        ("latency at 100 events a second, p50 / p99 ms", "latency, 100 events/s", &["p50_ms", "p99_ms"][..]),
        ("events a second into one stream", "one stream", &["events_per_second"]),
        ("… p50 / p99 ms", "one stream", &["p50_ms", "p99_ms"]),
        ("events a second into 1,000 streams", "many streams", &["events_per_second"]),
        ("… p50 / p99 ms", "many streams", &["p50_ms", "p99_ms"]),
        ("CPU seconds per million deliveries", "CPU of a delivery", &["cpu_seconds_per_million"]),
    ] {
        let of = |server: &str| {
            let medians = figures.iter().map(|figure| median(figures_of(&kept, server, what, figure)));
            medians.map(number).collect::<Vec<_>>().join(" / ")
        };
        let _ = writeln!(text, "| {title} | {} | {} |", of("one gateway"), of("three gateways"));
    }
    let cpu = |server: &str| figures_of(&kept, server, "CPU of a delivery", "cpu_seconds_per_million");
    let mut ratios: Vec<_> =
        cpu("three gateways").iter().zip(cpu("one gateway")).map(|(shared, alone)| shared / alone).collect();
    ratios.sort_by(f64::total_cmp);
    if let (Some(least), Some(most)) = (ratios.first(), ratios.last()) {
        let middle = median(ratios.clone());
        let _ = writeln!(text, "| … of a gateway that follows / alone | | {middle:.2} ({least:.2}..{most:.2}) |");
    }
    for row in kept.all() {
        let (what, figures) = (row["what"].as_str().unwrap_or_default(), &row["figures"]);
        let of = |figure: &str| figures[figure].as_f64().map(number).unwrap_or_default();
        let list = |figure: &str| {
            let values = figures[figure].as_array().into_iter().flatten().filter_map(Value::as_f64);
            values.map(number).collect::<Vec<_>>().join(" / ")
        };
        let _ = match what {
            "failover" => writeln!(
                text,
                "| a stream stands still after a kill, lease {} s, {} kills: p50 / p99 s | | {} / {} |",
                figures["lease_seconds"],
                figures["kills"],
                of("p50_seconds"),
                of("p99_seconds")
            ),
            "takeover" => writeln!(
                text,
                "| {} streams of a gateway, killed, lease {} s: all owned again after s | | {} |\n\
                 | … CPU seconds of the two other gateways; of the engine's servers | | {}; {} |\n\
                 | … MiB of the gateways before; of the engine's servers | | {}; {} |",
                of("streams"),
                figures["lease_seconds"],
                of("owned_again_seconds"),
                list("takeover_cpu_seconds"),
                of("takeover_engine_cpu_seconds"),
                list("gateway_mib"),
                of("engine_mib")
            ),
            "clients" => writeln!(
                text,
                "| {} clients on {} streams: KiB of a client in the clear, by gateway | | {} |",
                of("clients"),
                figures["streams"],
                list("kib_of_a_client")
            ),
            _ => Ok(()),
        };
    }
    text
}

fn figures_of(kept: &Results, server: &str, what: &str, figure: &str) -> Vec<f64> {
    let rows = kept.all().iter().filter(|row| row["server"] == server && row["what"] == what);
    rows.filter_map(|row| row["figures"][figure].as_f64()).collect()
}
