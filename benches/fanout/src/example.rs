//! The costs of single things and of an example fleet: tables of docs/sizing.md.

use std::fmt::Write as _;
use std::path::Path;

use crate::table::{CPU, Results, short, thousands};

/// Formats the cost of each thing as Markdown.
pub fn sizes(results: &Path) -> String {
    let kept = Results::read(results, "sizes");
    let Some(machine) = kept.machine() else { return "Not measured yet.".to_owned() };
    let mut text = format!(
        "({machine})\n\n| what | measured with | KiB of the process | after live events | KiB of the kernel | descriptors |\n\
         |---|---|---|---|---|---|\n"
    );
    for row in kept.all() {
        let of = |name: &str| row[name].as_f64().map_or("-".to_owned(), short);
        let what = row["what"].as_str().unwrap_or_default();
        let number = thousands(row["number"].as_f64().unwrap_or(0.0));
        let descriptors = row["descriptors"].as_f64().unwrap_or(0.0);
        let (kib, live) = (of("kib"), of("live_kib"));
        // What else goes on in the kernel is not small beside a few connections.
        let kernel = if row["number"].as_f64() >= Some(1000.0) { of("kernel_kib") } else { "-".to_owned() };
        let _ = writeln!(text, "| {what} | {number} | {kib} | {live} | {kernel} | {descriptors:.0} |");
    }
    text
}

/// Formats the parts of a client's memory, computed by differences, as Markdown.
pub fn client(results: &Path) -> String {
    let sizes = Results::read(results, "sizes");
    let size = |what: &str, name: &str| sizes.all().iter().find(|row| row["what"] == what)?[name].as_f64();
    let figures = || {
        Some((
            size("HTTP/1.1, in the clear", "kib")?,
            size("HTTP/1.1, TLS", "kib")?,
            size("HTTP/2, 1 stream, TLS", "kib")?,
            size("HTTP/2, 6 streams, TLS", "kib")?,
            size("HTTP/2, 100 streams, TLS", "kib")?,
            size("HTTP/1.1, TLS", "kernel_kib")?,
        ))
    };
    let Some((clear, tls, one, six, hundred, kernel)) = figures() else { return "Not measured yet.".to_owned() };
    let mut text = "| what | KiB | known from |\n|---|---|---|\n".to_owned();
    for (what, kib, from) in [
        (
            "an HTTP/1.1 client: its task, its subscription with the token's claims, its socket's place",
            clear,
            "in the clear",
        ),
        ("TLS: session, keys, what was agreed", tls - clear, "over TLS, less that"),
        (
            "HTTP/2 instead of HTTP/1.1: buffers, header tables, a task more",
            one - tls,
            "HTTP/2 with one stream, less HTTP/1.1 over TLS",
        ),
        ("each stream after the first on an HTTP/2 connection", (six - one) / 5.0, "six streams, less one, by five"),
        ("the same with many streams", (hundred - one) / 99.0, "a hundred streams, less one, by 99"),
        ("the kernel's socket", kernel, "over TLS; half of both ends"),
    ] {
        let _ = writeln!(text, "| {what} | {} | {from} |", short(kib));
    }
    text
}

/// 50,000 clients and 20 events a second, from what was measured, in Markdown.
pub fn example(results: &Path) -> String {
    const CLIENTS: f64 = 50_000.0;
    const EVENTS: f64 = 20.0;
    const SHARE: f64 = 0.6;
    let (sizes, tls) = (Results::read(results, "sizes"), Results::read(results, "tls"));
    let size = |what: &str, name: &str| sizes.all().iter().find(|row| row["what"] == what)?[name].as_f64();
    let figures = || {
        let client = "HTTP/1.1, TLS";
        Some((
            tls.figure("rillgate", 0, CPU)?,
            tls.figure("rillgate", 0, "connect_micros")?,
            size(client, "live_kib")?,
            size(client, "kernel_kib")?,
            size("an event with 200 bytes of data", "kib")?,
        ))
    };
    let Some((cpu, connect, client, kernel, event)) = figures() else { return "Not measured yet.".to_owned() };
    let writes = CLIENTS * EVENTS;
    let cores = writes * cpu / 1e6;
    let (clients_mib, kernel_mib) = (CLIENTS * client / 1024.0, CLIENTS * kernel / 1024.0);
    let events = EVENTS * 600.0;
    let log_mib = events * event / 1024.0;
    let mut text = "| what | reckoning | comes to |\n|---|---|---|\n".to_owned();
    let mut line = |what: &str, reckoning: String, sum: String| {
        let _ = writeln!(text, "| {what} | {reckoning} | {sum} |");
    };
    line(
        "CPU for delivery",
        format!("{} x {EVENTS:.0} writes a second x {} µs", thousands(CLIENTS), short(cpu)),
        format!("{cores:.1} cores busy; {:.0} cores at {:.0} %", (cores / SHARE).ceil(), SHARE * 100.0),
    );
    line(
        "everybody comes back at once",
        format!("{} x {connect:.0} µs", thousands(CLIENTS)),
        format!("{:.1} core seconds", CLIENTS * connect / 1e6),
    );
    line(
        "clients, in the process",
        format!("{} x {} KiB", thousands(CLIENTS), short(client)),
        format!("{clients_mib:.0} MiB"),
    );
    line(
        "clients, in the kernel",
        format!("{} x {} KiB", thousands(CLIENTS), short(kernel)),
        format!("{kernel_mib:.0} MiB"),
    );
    line(
        "ten minutes of one stream",
        format!("{} events x {:.0} bytes", thousands(events), event * 1024.0),
        format!("{log_mib:.1} MiB"),
    );
    line(
        "descriptors",
        format!("{} and one for each stream", thousands(CLIENTS)),
        "`LimitNOFILE=65536` or more".to_owned(),
    );
    text
}
