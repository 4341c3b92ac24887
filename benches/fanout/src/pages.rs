//! The tables of benches/README.md and docs/sizing.md: made from what is kept, between two marks of each page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::example;
use crate::table::{CPU, Results, goals, short, thousands};
use crate::{Outcome, abuse, cluster, compression, forward};

const PAGES: [&str; 2] = ["benches/README.md", "docs/sizing.md"];

/// Writes every table of every page anew.
pub fn write(results: &Path) -> Outcome<()> {
    for page in PAGES {
        let text = fs::read_to_string(page)?;
        fs::write(page, renewed(&text, results).map_err(|error| format!("{page}: {error}"))?)?;
    }
    Ok(())
}

/// A page with its tables made anew.
fn renewed(page: &str, results: &Path) -> Outcome<String> {
    const BEGIN: &str = "<!-- benches/run table: ";
    const END: &str = "<!-- end -->\n";
    let mut text = String::new();
    let mut rest = page;
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at + BEGIN.len());
        let (name, after) = after.split_once(" -->\n").ok_or("a mark without an end")?;
        let (_, after) = after.split_once(END).ok_or("a table without an end")?;
        let table = match name {
            "goals" => goals(results),
            "figures" => figures(results),
            "growth" => growth(results),
            "sizes" => example::sizes(results),
            "client" => example::client(results),
            "gather" => gather(results),
            "parts" => parts(results),
            "abuse" => abuse::page::table(results),
            "cluster" => cluster::page::table(results),
            "forward" => forward::page::table(results),
            "compression" => compression::page::table(results),
            "example" => example::example(results),
            _ => return Err(format!("there is no table {name}").into()),
        };
        write!(text, "{before}{name} -->\n\n{}\n\n{END}", table.trim_end())?;
        rest = after;
    }
    Ok(text + rest)
}

/// All servers of all scenarios, in Markdown.
fn figures(folder: &Path) -> String {
    let mut text = String::new();
    for (scenario, title) in [
        ("tls", "HTTP/1.1 over TLS"),
        ("plain", "HTTP/1.1 in the clear"),
        ("h2", "HTTP/2 over TLS; the ceiling speaks HTTP/1.1"),
        ("overload", "A million deliveries a second asked of one core, over TLS"),
        ("workers", "One worker, and two, with clients on both cores; HTTP/1.1 over TLS"),
        ("replay", "Clients come back with `Last-Event-ID` and get 100 events each, over TLS, handshakes included"),
        (
            "proxies",
            "Proxies with a connection to the producer for each client, over TLS; the producer's own cost is not in it",
        ),
    ] {
        let kept = Results::read(folder, scenario);
        let Some(machine) = kept.machine() else { continue };
        let rounds = kept.rounds();
        let disturbed = kept.all().iter().filter(|row| row["other_share"].as_f64() > Some(0.08)).count();
        let share = kept.all().iter().find_map(|row| row["ceiling_share"].as_f64()).unwrap_or(0.0);
        let asked = match share > 0.0 {
            true => format!("; asked for: {:.0} % of what the ceiling sustained", share * 100.0),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "**{title}** ({machine}; {rounds} round{}; {disturbed} of {} rows disturbed{asked})\n\n\
             | server | connections | CPU seconds per million deliveries | x ceiling | deliveries a second, asked for / made \
             | one core's worth of them | p50 / p99 ms | KiB idle / live | CPU µs a connection | all there after s | wrong \
             |\n|---|---|---|---|---|---|---|---|---|---|---|",
            if rounds == 1 { "" } else { "s" },
            kept.all().len(),
        );
        for (name, server, h2_streams) in kept.servers() {
            let of = |figure: &str| kept.figure(&server, h2_streams, figure);
            let all = kept.all().iter().filter(|row| row["server"] == *server && row["h2_streams"] == h2_streams);
            let wrong: Vec<_> = all.clone().filter_map(|row| row["failed"].as_str()).collect();
            let wrong = match wrong.first() {
                None => "nothing".to_owned(),
                Some(first) => format!("failed {} of {rounds}: {first}", wrong.len()),
            };
            let connections = all.clone().find_map(|row| row["clients"].as_f64()).unwrap_or(0.0);
            let Some(cpu) = of(CPU) else {
                let _ =
                    writeln!(text, "| {name} | {} | - | - | - | - | - | - | - | - | {wrong} |", thousands(connections));
                continue;
            };
            let spread = kept.figures(&server, h2_streams, CPU);
            let (least, most) =
                spread.iter().fold((f64::MAX, 0.0_f64), |(least, most), &x| (least.min(x), most.max(x)));
            let ratio = kept.ratio(&server, h2_streams, "ceiling", CPU).map_or("-".to_owned(), short);
            let rate = of("rate").unwrap_or(0.0);
            let asked = match rate > 0.0 {
                true => thousands(rate * connections * h2_streams.max(1) as f64),
                false => "-".to_owned(),
            };
            let memory = match scenario {
                "replay" => "-".to_owned(),
                _ => format!("{:.1} / {:.1}", of("idle_kib").unwrap_or(0.0), of("active_kib").unwrap_or(0.0)),
            };
            let _ = writeln!(
                text,
                "| {name} | {} | {} ({}..{}) | {ratio} | {asked} / {} | {} | {:.0} / {:.0} | {memory} | {:.0} | {:.1} | {wrong} |",
                thousands(connections),
                short(cpu),
                short(least),
                short(most),
                thousands(of("deliveries_per_second").unwrap_or(0.0)),
                thousands(1e6 / cpu),
                of("p50_ms").unwrap_or(0.0),
                of("p99_ms").unwrap_or(0.0),
                of("connect_micros").unwrap_or(0.0),
                of("connect_seconds").unwrap_or(0.0),
            );
        }
        text.push('\n');
    }
    text
}

/// The micro-benches, in Markdown.
fn parts(results: &Path) -> String {
    let kept = Results::read(results, "micro");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!("({machine})\n\n| what | time |\n|---|---|\n");
    for row in kept.all() {
        let nanoseconds = row["nanoseconds"].as_f64().unwrap_or(0.0);
        let time = match nanoseconds {
            _ if nanoseconds >= 1000.0 => format!("{} µs", short(nanoseconds / 1000.0)),
            _ => format!("{} ns", short(nanoseconds)),
        };
        let _ = writeln!(text, "| {} | {time} |", row["what"].as_str().unwrap_or_default());
    }
    text
}

/// Formats the growth table as Markdown.
fn growth(results: &Path) -> String {
    let kept = Results::read(results, "growth");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; one round)\n\n| clients | streams open | most events in the log | other routes | writes a second | CPU seconds per \
         million deliveries | x ceiling | p50 / p99 ms | CPU µs a connection | KiB idle |\n|---|---|---|---|---|---|---|---|---|---|\n"
    );
    let mut ceilings: Vec<&Value> = Vec::new();
    for row in kept.all() {
        let of = |name: &str| row[name].as_f64().unwrap_or(0.0);
        if row["server"] == "ceiling" {
            ceilings.push(row);
            continue;
        }
        let ceiling =
            ceilings.iter().rev().find(|ceiling| ["clients", "rate"].iter().all(|name| ceiling[*name] == row[*name]));
        let ratio = ceiling.and_then(|ceiling| Some(of(CPU) / ceiling[CPU].as_f64()?)).map_or("-".to_owned(), short);
        let filled = if of("in_log") > 0.0 { ", full" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {}{filled} | {} | {} | {} | {} | {:.0} / {:.0} | {:.0} | {:.1} |",
            thousands(of("clients")),
            thousands(of("streams")),
            thousands(of("log")),
            thousands(of("routes")),
            thousands(of("deliveries_per_second")),
            short(of(CPU)),
            ratio,
            of("p50_ms"),
            of("p99_ms"),
            of("connect_micros"),
            of("idle_kib"),
        );
    }
    text
}

/// Formats the table of `gather` as Markdown.
fn gather(results: &Path) -> String {
    let kept = Results::read(results, "gather");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine}; {} rounds, medians)\n\n| `gather` | CPU seconds per million deliveries | p50 ms | p99 ms |\n|---|---|---|---|\n",
        kept.rounds()
    );
    let mut seen: Vec<u64> = kept.all().iter().filter_map(|row| row["gather_ms"].as_u64()).collect();
    seen.sort_unstable();
    seen.dedup();
    for gather in seen {
        let rows = kept.all().iter().filter(|row| row["gather_ms"] == gather).cloned().collect();
        let part = Results::of(rows);
        let of = |name: &str| part.figure("rillgate", 0, name).unwrap_or(0.0);
        let _ = writeln!(text, "| `{gather}ms` | {} | {:.0} | {:.0} |", short(of(CPU)), of("p50_ms"), of("p99_ms"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_every_page_are_those_of_the_kept_figures() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for page in PAGES {
            let text = fs::read_to_string(root.join(page)).expect("a page");

            let renewed = renewed(&text, &root.join(crate::plan::RESULTS)).expect("tables");

            assert!(renewed == text, "{page} is behind benches/results: run `benches/run table`");
            assert!(renewed.contains("| "), "{page} has no table");
        }
    }
}
