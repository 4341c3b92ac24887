//! Gateways that share their streams: the latency that this adds, what a stream can carry, the cost of a delivery, and how
//! long a stream stands still after its owner was killed.
//!
//! A client reads at a gateway that does not own the stream, so each event goes from the producer to the owner, into the
//! engine, and from there to the client's gateway. The same is measured with one gateway alone in the same run.

mod clients;
mod engine;
mod failover;
mod gateways;
mod owners;
pub mod page;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::engine::Engine;
use self::gateways::{Gateways, Sharing};
use crate::control::Instruction;
use crate::load::Load;
use crate::plan::{Size, is_wanted};
use crate::process;
use crate::report::rounded;
use crate::server::ServerSettings;
use crate::{Outcome, server};

/// The dimensions of a run.
struct Scale {
    /// The number of servers of the engine.
    servers: usize,
    window: Duration,
    rounds: usize,
    /// Clients of one stream.
    clients: usize,
    /// Streams with one client each.
    streams: usize,
    /// Events a second into one stream, and into all.
    rate: f64,
    /// The leases and the number of kills for each.
    failovers: &'static [(u64, usize)],
    /// Streams of a gateway that is killed.
    owned: usize,
    /// Clients that are spread over all gateways.
    spread: usize,
}

/// Measures the parts in `only`, or all of them: `latency`, `throughput`, `delivery`, `failover`, `takeover`, `clients`. Prints each
/// figure and passes it on.
pub fn measure(settings: &ServerSettings, size: Size, only: Option<&str>, mut keep: impl FnMut(Value)) -> Outcome<()> {
    let Some(program) = engine::program() else {
        println!("nats-server is not installed: RILLGATE_NATS_SERVER may name it");
        return Ok(());
    };
    let scale = match size.clients < 1000 {
        true => Scale {
            servers: 1,
            window: size.window,
            rounds: 1,
            clients: size.clients,
            streams: 20,
            rate: 500.0,
            failovers: &[(1, 1)],
            owned: 50,
            spread: 90,
        },
        false => Scale {
            servers: 3,
            window: size.window,
            rounds: size.rounds,
            clients: size.clients / 5,
            streams: 1000,
            rate: 60_000.0,
            failovers: &[(1, 10), (3, 5), (5, 5)],
            owned: 10_000,
            spread: 15_000,
        },
    };
    let settings = ServerSettings { is_tls: false, streams: scale.streams, log: 1_000_000, ..settings.clone() };
    let wants = |part: &str| is_wanted(only, part);
    for round in 1..=scale.rounds {
        for is_shared in [false, true] {
            let engine = if is_shared { Some(Engine::start(&program, scale.servers, &settings.folder)?) } else { None };
            let sharing = engine.as_ref().map(|engine| Sharing {
                urls: engine.urls(),
                replicas: scale.servers,
                lease: Duration::from_secs(3),
            });
            let count = if is_shared { 3 } else { 1 };
            let name = if is_shared { "three gateways" } else { "one gateway" };
            let mut row = |part: &str, what: &str, figures: &dyn Fn(&mut Gateways) -> Outcome<Value>| {
                if wants(part) {
                    let figures = figures(&mut Gateways::start(&settings, count, sharing.as_ref())?)?;
                    println!("{name:<15} {round} {what:<32} {figures}");
                    keep(json!({ "server": name, "round": round, "part": part, "what": what, "figures": figures }));
                }
                Outcome::Ok(())
            };
            row("latency", "latency, 100 events/s", &|gateways| latency(gateways, &scale))?;
            row("throughput", "one stream", &|gateways| throughput(gateways, &scale, 1))?;
            row("throughput", "many streams", &|gateways| throughput(gateways, &scale, scale.streams))?;
            row("delivery", "CPU of a delivery", &|gateways| delivery(gateways, engine.as_ref(), &scale))?;
        }
    }
    for &(lease, kills) in scale.failovers.iter().filter(|_| wants("failover")) {
        let engine = Engine::start(&program, scale.servers, &settings.folder)?;
        let lease = Duration::from_secs(lease);
        let sharing = Sharing { urls: engine.urls(), replicas: scale.servers, lease };
        let mut gateways = Gateways::start(&settings, 3, Some(&sharing))?;
        let figures = failover::measure(&mut gateways, lease, kills)?;
        println!("three gateways    failover, lease {lease:?}: {figures}");
        keep(
            json!({ "server": "three gateways", "round": 1, "part": "failover", "what": "failover", "figures": figures }),
        );
    }
    if wants("clients") {
        let engine = Engine::start(&program, scale.servers, &settings.folder)?;
        let sharing = Sharing { urls: engine.urls(), replicas: scale.servers, lease: Duration::from_secs(3) };
        let settings = ServerSettings { streams: 10, log: 1000, ..settings.clone() };
        let figures = clients::measure(&mut Gateways::start(&settings, 3, Some(&sharing))?, &engine, scale.spread, 10)?;
        println!("three gateways    clients of all: {figures}");
        keep(
            json!({ "server": "three gateways", "round": 1, "part": "clients", "what": "clients", "figures": figures }),
        );
    }
    if wants("takeover") {
        let engine = Engine::start(&program, scale.servers, &settings.folder)?;
        let lease = Duration::from_secs(3);
        let sharing = Sharing { urls: engine.urls(), replicas: scale.servers, lease };
        let settings = ServerSettings { streams: scale.owned, log: 1000, ..settings };
        let figures =
            owners::measure(&mut Gateways::start(&settings, 3, Some(&sharing))?, &engine, scale.owned, lease)?;
        println!("three gateways    {} streams, the owner killed: {figures}", scale.owned);
        keep(
            json!({ "server": "three gateways", "round": 1, "part": "takeover", "what": "takeover", "figures": figures }),
        );
    }
    Ok(())
}

/// Connects clients to these streams at a gateway that owns none of them, if there is one.
fn connect(gateways: &mut Gateways, clients: usize, streams: usize) -> Outcome<(Load, usize)> {
    let mut client_settings = gateways.client_settings(0);
    client_settings.paths.truncate(streams);
    // The first gateway owns the streams, because it is asked for them first.
    let mut owners = Load::new()?;
    owners.connect(&client_settings, streams, Duration::from_secs(30))?;
    let mut reader = 0;
    if gateways.count() > 1 {
        gateways.wait_for_owner(0, streams)?;
        reader = 1;
        client_settings.to = gateways.address(reader);
    }
    let mut load = Load::new()?;
    load.connect(&client_settings, clients, Duration::from_secs(60))?;
    // Its readers hold the streams no longer than they must; the linger does.
    drop(owners);
    Ok((load, reader))
}

/// Stops the producer, and checks that every client got every event once and in order.
fn finish(gateways: &mut Gateways, load: &mut Load) -> Outcome<()> {
    gateways.send(Instruction::Rate(0.0))?;
    load.settle(gateways.sent()?, Duration::from_secs(20))?;
    load.verdict()
}

fn latency(gateways: &mut Gateways, scale: &Scale) -> Outcome<Value> {
    let (mut load, _) = connect(gateways, 1, 1)?;
    gateways.send(Instruction::Rate(100.0))?;
    load.receive(Duration::from_millis(500))?;
    load.tally.restart();
    load.receive(scale.window * 2)?;
    let figures = json!({ "events": load.tally.events, "p50_ms": rounded(load.tally.milliseconds(0.5)),
        "p99_ms": rounded(load.tally.milliseconds(0.99)) });
    finish(gateways, &mut load)?;
    Ok(figures)
}

/// One client for each stream; all streams get the same events.
fn throughput(gateways: &mut Gateways, scale: &Scale, streams: usize) -> Outcome<Value> {
    let (mut load, _) = connect(gateways, streams, streams)?;
    gateways.send(Instruction::Rate((scale.rate / streams as f64).max(1.0)))?;
    load.receive(Duration::from_secs(1).min(scale.window))?;
    load.tally.restart();
    let start = Instant::now();
    load.receive(scale.window)?;
    let rate = load.tally.events as f64 / start.elapsed().as_secs_f64();
    let figures = json!({ "streams": streams, "asked_per_second": scale.rate, "events_per_second": rate.round(),
        "p50_ms": rounded(load.tally.milliseconds(0.5)), "p99_ms": rounded(load.tally.milliseconds(0.99)) });
    finish(gateways, &mut load)?;
    Ok(figures)
}

/// Many clients of one stream: what a delivery costs their gateway, which has the server's core for itself. All others,
/// the engine's servers among them, share the load's core.
fn delivery(gateways: &mut Gateways, engine: Option<&Engine>, scale: &Scale) -> Outcome<Value> {
    let (mut load, reader) = connect(gateways, scale.clients, 1)?;
    let others = (0..gateways.count()).filter(|index| *index != reader).map(|index| gateways.process(index));
    for process in others.chain(engine.map(Engine::processes).unwrap_or_default()).chain([gateways.producer()]) {
        move_to_core(process, "LOAD_CORE")?;
    }
    move_to_core(gateways.process(reader), "SERVER_CORE")?;
    gateways.send(Instruction::Rate(50.0))?;
    load.receive(Duration::from_secs(1).min(scale.window))?;
    load.tally.restart();
    let processes = process::tree(gateways.process(reader));
    let before = process::cpu_seconds(&processes);
    load.receive(scale.window * 2)?;
    let cpu = process::cpu_seconds(&processes) - before;
    let figures = json!({ "clients": scale.clients,
        "cpu_seconds_per_million": rounded(cpu * 1e6 / load.tally.events.max(1) as f64) });
    finish(gateways, &mut load)?;
    Ok(figures)
}

/// Returns a command that runs a program on all cores, wherever the harness itself runs.
fn on_all_cores(program: &std::path::Path) -> std::process::Command {
    let cores = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_else(|_| "0".to_owned());
    let mut command = std::process::Command::new("taskset");
    command.arg("-c").arg(cores.trim()).arg(program);
    command
}

/// Moves all threads of a process to the core that a variable names.
fn move_to_core(process: u32, variable: &str) -> Outcome<()> {
    let Ok(core) = std::env::var(variable) else { return Ok(()) };
    process::move_to_core(&process.to_string(), true, &core)
}

/// Returns a free port of 127.0.0.1.
fn free_port() -> Outcome<u16> {
    server::free_port()
}
