//! Forwarding: small requests, bodies of a gibibyte, WebSockets, and the stream beside them, through the gateway and
//! through plain proxies in the same round.

mod application;
mod beside;
mod bodies;
mod exchanges;
pub mod page;
mod servers;

use std::time::Duration;

use serde_json::{Value, json};

use self::bodies::Direction;
use self::exchanges::{Exchange, ExchangeFigures, Exchanges};
use self::servers::ForwardServer;
use crate::plan::{Size, is_wanted};
use crate::report::rounded;
use crate::server::{Kind, ServerSettings};
use crate::{Outcome, certificate, process};

pub use application::serve;

/// The dimensions of a run.
struct Scale {
    rounds: usize,
    window: Duration,
    /// Connections with requests, and their rate together.
    connections: usize,
    requests_per_second: f64,
    body_bytes: u64,
    /// Connections with messages, their rate together, and for how long.
    sockets: usize,
    messages_per_second: f64,
    messages_for: Duration,
    /// Readers of a stream beside forwarded requests.
    readers: usize,
}

/// The servers, in the order in which they run.
const KINDS: [Kind; 3] = [Kind::Rillgate, Kind::Nginx, Kind::Caddy];

/// Measures the parts in `only`, or all of them: `requests`, `bodies`, `sockets`, `beside`. Prints each figure and passes it
/// on. A server that is not installed is left out.
///
/// # Errors
/// The gateway failed in a row. Failures are printed and passed on, and the run goes on to its end.
pub fn measure(settings: &ServerSettings, size: Size, only: Option<&str>, mut keep: impl FnMut(Value)) -> Outcome<()> {
    let scale = match size.clients < 1000 {
        true => Scale {
            rounds: 1,
            window: size.window,
            connections: 8,
            requests_per_second: 100.0,
            body_bytes: 4 << 20,
            sockets: 10,
            messages_per_second: 100.0,
            messages_for: size.window,
            readers: 20,
        },
        false => Scale {
            rounds: size.rounds,
            window: size.window,
            connections: 64,
            requests_per_second: 3000.0,
            body_bytes: 1 << 30,
            sockets: 200,
            messages_per_second: 1000.0,
            messages_for: Duration::from_secs(60),
            readers: 500,
        },
    };
    let wants = |part: &str| is_wanted(only, part);
    let mut failures = 0;
    for round in 1..=scale.rounds {
        for kind in KINDS {
            let mut row = |part: &str, figures: &dyn Fn() -> Outcome<Value>| -> Outcome<()> {
                if !wants(part) || (part == "beside" && kind != Kind::Rillgate) {
                    return Ok(());
                }
                if !kind.is_installed() {
                    println!("{:<10} {round} {part:<9} is not installed", kind.name());
                    return Ok(());
                }
                let outcome = figures();
                let failed = outcome.as_ref().err().map(ToString::to_string);
                match (&outcome, &failed) {
                    (Ok(figures), _) => println!("{:<10} {round} {part:<9} {figures}", kind.name()),
                    (Err(_), failed) => println!("{:<10} {round} {part:<9} failed: {failed:?}", kind.name()),
                }
                failures += usize::from(failed.is_some() && kind == Kind::Rillgate);
                keep(json!({ "server": kind.name(), "round": round, "part": part, "failed": failed,
                    "figures": outcome.as_ref().ok() }));
                Ok(())
            };
            row("requests", &|| requests(kind, settings, &scale))?;
            row("bodies", &|| bodies(kind, settings, &scale))?;
            row("sockets", &|| sockets(kind, settings, &scale))?;
            row("beside", &|| beside::measure(settings, &scale))?;
        }
    }
    if failures > 0 { Err(format!("rillgate failed in {failures} rows").into()) } else { Ok(()) }
}

fn requests(kind: Kind, settings: &ServerSettings, scale: &Scale) -> Outcome<Value> {
    let server = ForwardServer::start(kind, settings)?;
    let tls = certificate::client(&settings.folder, false)?;
    let mut clients = Exchanges::connect(Exchange::Request, server.address(), Some(&tls), scale.connections)?;
    exchange(&server, settings, &mut clients, scale.requests_per_second, scale.window / 4)?;
    exchange(&server, settings, &mut clients, scale.requests_per_second, scale.window * 2)
}

fn sockets(kind: Kind, settings: &ServerSettings, scale: &Scale) -> Outcome<Value> {
    let server = ForwardServer::start(kind, settings)?;
    let tls = certificate::client(&settings.folder, false)?;
    let mut clients = Exchanges::connect(Exchange::Message, server.address(), Some(&tls), scale.sockets)?;
    exchange(&server, settings, &mut clients, scale.messages_per_second, scale.messages_for)
}

/// Exchanges for this long. Returns the server's CPU microseconds for each, and its growth.
fn exchange(
    server: &ForwardServer,
    settings: &ServerSettings,
    clients: &mut Exchanges,
    rate: f64,
    duration: Duration,
) -> Outcome<Value> {
    let processes = server.processes();
    let (cpu, memory) = (process::cpu_seconds(&processes), process::pss_kib(&processes)?);
    let busy = process::core_seconds(settings.core)?;
    let ExchangeFigures { count, p50_ms, p99_ms } = clients.run(rate, duration, || false)?;
    let cpu = process::cpu_seconds(&processes) - cpu;
    let others = (process::core_seconds(settings.core)? - busy - cpu) / duration.as_secs_f64();
    Ok(json!({ "count": count, "cpu_micros": rounded(cpu * 1e6 / count.max(1) as f64), "p50_ms": rounded(p50_ms),
        "p99_ms": rounded(p99_ms), "grown_kib": rounded(process::pss_kib(&processes)? - memory),
        "other_share": rounded(others) }))
}

fn bodies(kind: Kind, settings: &ServerSettings, scale: &Scale) -> Outcome<Value> {
    let server = ForwardServer::start(kind, settings)?;
    let mut figures = json!({ "bytes": scale.body_bytes });
    for (name, direction) in [("down", Direction::Down), ("up", Direction::Up)] {
        let tls = certificate::client(&settings.folder, false)?;
        // What a first transfer of this kind leaves behind, such as buffers, is not growth.
        bodies::measure(direction, server.address(), Some(tls.clone()), scale.body_bytes / 64, &server.processes())?;
        let body = bodies::measure(direction, server.address(), Some(tls), scale.body_bytes, &server.processes())?;
        figures[name] = json!({ "seconds": rounded(body.seconds), "cpu_seconds": rounded(body.cpu_seconds),
            "grown_kib": rounded(body.grown_kib) });
    }
    Ok(figures)
}
