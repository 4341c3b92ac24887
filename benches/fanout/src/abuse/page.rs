//! The table of the scenario `abuse`, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::table::{Results, short, thousands};

/// Formats the kept rows.
pub fn table(results: &Path) -> String {
    let kept = Results::read(results, "abuse");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; one round)\n\n| | attack | sent B | by its producer MB | CPU s / MB | highest memory MiB / bound | held / sent \
         | readers' p99 ms | newcomers' p99 ms | direct reader's p99 ms | failed | back after s | nginx: readers' p99 ms | nginx: held MiB \
         | others % | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in kept.all() {
        let figures = &row["rillgate"];
        let of = |name: &str| figures[name].as_f64().unwrap_or(0.0);
        let failures: Vec<_> = row["failures"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let verdict =
            if failures.is_empty() { "pass".to_owned() } else { format!("**fail**: {}", failures.join("; ")) };
        let nginx = match row["nginx"]["grown_mib"].as_f64() {
            Some(grown) => format!("{} | {}", latencies(&row["nginx"]["readers_p99_ms"]), short(grown.max(0.0))),
            None => "- | -".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} / {} | {} | {} | {} | {} | {} of {} | {} | {nginx} | {:.0} | {verdict} |",
            row["number"].as_str().unwrap_or_default(),
            row["title"].as_str().unwrap_or_default(),
            thousands(of("sent")),
            short(of("produced") / 1e6),
            short(of("cpu_seconds_per_megabyte")),
            of("peak_mib"),
            row["memory_bound"],
            short(of("amplification")),
            latencies(&figures["readers_p99_ms"]),
            latencies(&figures["newcomers_p99_ms"]),
            latencies(&figures["direct_p99_ms"]),
            figures["newcomers_failed"],
            figures["newcomers"],
            figures["back_seconds"].as_f64().map_or("never".to_owned(), |back| format!("{back:.1}")),
            of("other_share") * 100.0,
        );
    }
    text
}

/// Before, during and after.
fn latencies(three: &Value) -> String {
    let figures = three.as_array().into_iter().flatten().filter_map(Value::as_f64);
    figures.map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" / ")
}
