//! The cost of an idle client, an event in the log, an open stream and a route: memory of the process and of the kernel,
//! and descriptors.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::control::Instruction;
use crate::load::Load;
use crate::plan::Run;
use crate::process;
use crate::report::rounded;
use crate::server::{Kind, Server, ServerSettings};

impl Run {
    /// Takes one kind of thing after the other.
    pub fn sizes(&mut self) -> Outcome<()> {
        let all = self.size.clients;
        println!(
            "{:<34} {:>8} {:>10} {:>10} {:>10} {:>6}",
            "what", "number", "idle KiB", "live KiB", "kernel KiB", "fds"
        );
        let kinds = [(false, 0, all), (true, 0, all), (true, 1, all / 2), (true, 6, all / 5), (true, 100, all / 50)];
        for (is_tls, h2_streams, count) in kinds {
            let kept = self.clients(is_tls, h2_streams, count.max(1))?;
            self.report.keep(kept);
        }
        let bare = Server::start(Kind::Rillgate, &self.settings)?.pss_kib()?;
        let routes = if all < 1000 { 20 } else { 1000 };
        let many = Server::start(Kind::Rillgate, &ServerSettings { routes, ..self.settings.clone() })?.pss_kib()?;
        self.thing("the process at its start", 1, bare, 0.0);
        self.thing("a route", routes, (many - bare) / routes as f64, 0.0);

        let count = if all < 1000 { 20 } else { 1000 };
        let (one, one_fds) = self.open_streams(1, count)?;
        let (many, many_fds) = self.open_streams(count, count)?;
        let others = (count - 1) as f64;
        self.thing("a stream", count, (many - one) / others, (many_fds - one_fds) / others);

        let events = if all < 1000 { 1000 } else { 100_000 };
        let mut server = Server::start(Kind::Rillgate, &ServerSettings { log: events, ..self.settings.clone() })?;
        let mut load = Load::new()?;
        load.connect(&server.client_settings(0)?, 1, Duration::from_secs(10))?;
        let before = server.pss_kib()?;
        server.send(Instruction::Burst(events as u64))?;
        load.receive_events(events as u64, Duration::from_secs(60))?;
        load.verdict()?;
        let kib = (server.pss_kib()? - before) / events as f64;
        self.thing("an event with 200 bytes of data", events, kib, 0.0);
        Ok(())
    }

    fn thing(&mut self, what: &str, number: usize, kib: f64, descriptors: f64) {
        println!("{what:<34} {number:>8} {kib:>10.2} {:>10} {:>10} {descriptors:>6.1}", "", "");
        let kept = json!({ "what": what, "number": number, "kib": rounded(kib), "descriptors": rounded(descriptors) });
        self.report.keep(kept);
    }

    /// Clients of one kind on one stream, idle and then after a second of events.
    fn clients(&mut self, is_tls: bool, h2_streams: usize, count: usize) -> Outcome<Value> {
        let settings = ServerSettings { is_tls, ..self.settings.clone() };
        let mut server = Server::start(Kind::Rillgate, &settings)?;
        let (client_settings, mut load) = (server.client_settings(h2_streams)?, Load::new()?);
        load.connect(&client_settings, 1, Duration::from_secs(10))?;
        let before = (server.pss_kib()?, kernel_kib()?, server.descriptors());
        load.connect(&client_settings, count, Duration::from_secs(60))?;
        load.receive(Duration::from_millis(500))?;
        let (cpu, start) = (process::cpu_seconds(&server.processes()), Instant::now());
        load.receive(self.size.window.min(Duration::from_secs(2)))?;
        let idle_cpu = (process::cpu_seconds(&server.processes()) - cpu) / start.elapsed().as_secs_f64();
        let number = count as f64;
        let idle = (server.pss_kib()? - before.0) / number;
        // Both ends of each connection are in this kernel.
        let kernel = (kernel_kib()? - before.1) / number / 2.0;
        let descriptors = (server.descriptors() - before.2) / number;
        server.send(Instruction::Rate(10.0))?;
        load.receive(Duration::from_secs(1))?;
        server.send(Instruction::Rate(0.0))?;
        load.settle(server.sent()?, Duration::from_secs(15))?;
        load.verdict()?;
        let live = (server.pss_kib()? - before.0) / number;

        let protocol = match h2_streams {
            0 => "HTTP/1.1".to_owned(),
            1 => "HTTP/2, 1 stream".to_owned(),
            streams => format!("HTTP/2, {streams} streams"),
        };
        let what = format!("{protocol}, {}", if is_tls { "TLS" } else { "in the clear" });
        println!(
            "{what:<34} {count:>8} {idle:>10.2} {live:>10.2} {kernel:>10.2} {descriptors:>6.1}   {:.1} % of a core",
            idle_cpu * 100.0
        );
        Ok(json!({
            "what": what, "number": count, "h2_streams": h2_streams, "tls": is_tls, "kib": rounded(idle),
            "live_kib": rounded(live), "kernel_kib": rounded(kernel), "descriptors": rounded(descriptors),
            "idle_core_share": rounded(idle_cpu),
        }))
    }

    /// Memory and descriptors with so many clients on so many streams, after a few events.
    fn open_streams(&self, streams: usize, clients: usize) -> Outcome<(f64, f64)> {
        let mut server = Server::start(Kind::Rillgate, &ServerSettings { streams, ..self.settings.clone() })?;
        let mut load = Load::new()?;
        load.connect(&server.client_settings(0)?, clients, Duration::from_secs(30))?;
        server.send(Instruction::Burst(3))?;
        load.receive_events(3 * clients as u64, Duration::from_secs(10))?;
        load.verdict()?;
        Ok((server.pss_kib()?, server.descriptors()))
    }
}

/// Returns the kernel's memory in slabs, which hold sockets, and in the sockets' queues.
fn kernel_kib() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let slab = text.lines().find_map(|line| line.strip_prefix("Slab:")).ok_or("no Slab")?;
    let slab: f64 = slab.trim().trim_end_matches("kB").trim().parse()?;
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find(|line| line.starts_with("TCP:")).ok_or("no TCP")?;
    let pages: f64 = line.rsplit(' ').next().ok_or("no pages")?.parse()?;
    Ok(pages.mul_add(4.0, slab))
}

impl Server {
    fn pss_kib(&self) -> Outcome<f64> {
        process::pss_kib(&self.processes())
    }

    fn descriptors(&self) -> f64 {
        let open = |process: &u32| fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        self.processes().iter().map(open).sum::<usize>() as f64
    }
}
