//! A storm of connects while others read: what it does to their latency, and how long it takes.
//!
//! The storm is a process of the lowest priority beside the readers', so that its own work is not taken for the
//! gateway's. Figures are printed and not kept: those of a run stand in benches/README.md.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control::Instruction;
use crate::load::{ClientSettings, Load};
use crate::scan::Ids;
use crate::server::{Kind, Server, ServerSettings};
use crate::{Outcome, certificate};

/// The readers, at ten events a second.
const READERS: usize = 1000;

/// Clients that connect at once, in parts with a loop each, because a loop connects at most 500 at a time.
const PARTS: usize = 6;
const PART: usize = 500;

/// The storm itself, in a process of its own: `storming ADDRESS FOLDER [TOKEN]`. Says when all are answered, and stays until
/// its input ends.
pub fn come(arguments: Vec<String>) -> Outcome<()> {
    let [to, folder, token @ ..] = arguments.as_slice() else { return Err("storming ADDRESS FOLDER [TOKEN]".into()) };
    let to: SocketAddr = to.parse()?;
    let tls = match folder.as_str() {
        "-" => None,
        folder => Some(certificate::client(Path::new(folder), false)?),
    };
    let fields = token.iter().map(|token| ("authorization".to_owned(), token.clone())).collect();
    let client_settings = ClientSettings {
        to,
        tls,
        h2_streams: 0,
        paths: vec!["/feed/0".to_owned()],
        fields,
        ids: Ids::Producers,
        first: 1,
        content: None,
        turns: None,
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut load = Load::new().ok()?;
                    load.connect(&client_settings, PART, Duration::from_secs(60))
                        .map_err(|error| eprintln!("storm: {error}"))
                        .ok()?;
                    Some(load)
                })
            })
            .collect();
        let loads: Vec<_> = parts.into_iter().map(|part| part.join().ok().flatten()).collect();
        let outcome = if loads.iter().all(Option::is_some) { "all" } else { "not all" };
        println!("{outcome} after {:.3}", start.elapsed().as_secs_f64());
        // The connections stay until then.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    });
    Ok(())
}

/// Readers before, during and after it.
pub fn measure(settings: &ServerSettings, window: Duration) -> Outcome<()> {
    for is_tls in [true, false] {
        let settings = ServerSettings { is_tls, ..settings.clone() };
        let mut server = Server::start(Kind::Rillgate, &settings)?;
        let client_settings = server.client_settings(0)?;
        let mut readers = Load::new()?;
        readers.connect(&client_settings, READERS, Duration::from_secs(30))?;
        server.send(Instruction::Rate(10.0))?;
        readers.receive(Duration::from_secs(1))?;
        println!("{} to readers of {}:", PARTS * PART, if is_tls { "TLS" } else { "plain HTTP" });

        readers.tally.restart();
        readers.receive(window)?;
        print(&readers, "before");

        let processes = server.processes();
        let before = [true, false].map(|is_worker| cpu(&processes, is_worker));
        readers.tally.restart();
        let mut storm = start(&client_settings, &settings)?;
        let output = BufReader::new(storm.stdout.take().ok_or("a storm without output")?);
        let said = std::thread::spawn(move || output.lines().next());
        while !said.is_finished() {
            readers.receive(Duration::from_millis(20))?;
        }
        print(&readers, "during");
        let said = said.join().map_err(|_| "no word of the storm")?.ok_or("no word of the storm")??;
        let after = [true, false].map(|is_worker| cpu(&processes, is_worker));
        let micros = |index: usize| (after[index] - before[index]) * 1e6 / (PARTS * PART) as f64;
        println!(
            "  {said} s; CPU for each, with the readers' share: workers {:.0} us, accepting {:.1} us",
            micros(0),
            micros(1)
        );

        readers.tally.restart();
        readers.receive(window)?;
        print(&readers, "after");
        drop(storm.stdin.take());
        storm.wait()?;
        readers.verdict()?;
    }
    Ok(())
}

fn print(readers: &Load, when: &str) {
    let [middle, high, most] = [0.5, 0.99, 1.0].map(|quantile| readers.tally.milliseconds(quantile));
    println!("  {when:<7} p50 {middle:.1} ms, p99 {high:.1} ms, max {most:.1} ms of {}", readers.tally.events);
}

fn start(client_settings: &ClientSettings, settings: &ServerSettings) -> Outcome<Child> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(std::env::current_exe()?).arg("storming").arg(client_settings.to.to_string());
    command.arg(if settings.is_tls { settings.folder.as_os_str() } else { "-".as_ref() });
    command.args(client_settings.fields.iter().map(|(_, token)| token));
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// CPU seconds of the threads that serve, or of all others.
fn cpu(processes: &[u32], is_worker: bool) -> f64 {
    let tasks =
        processes.iter().flat_map(|process| std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten());
    let seconds = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds = times.split_whitespace().next()?.parse::<f64>().ok()?;
        (name.starts_with("worker-") == is_worker).then_some(nanoseconds / 1e9)
    });
    seconds.sum()
}
