//! Measures what compression gives and takes: bytes, CPU per delivery and memory of logs, with a coding and without, in turn.

pub mod body;
pub mod content;
pub mod page;

use std::time::Duration;

use serde_json::{Value, json};

use self::body::{Coding, ContentSettings};
use self::content::ContentKind;
use crate::calibrate::Asked;
use crate::control::Instruction;
use crate::load::Load;
use crate::plan::{CEILING_SHARE, Run};
use crate::report::{Row, rounded};
use crate::server::{Kind, Server, ServerSettings};
use crate::workload::Workload;
use crate::{Outcome, process};

/// The codings, in the order of the columns.
const CODINGS: [Option<Coding>; 3] = [None, Some(Coding::Gzip), Some(Coding::Zstd)];

/// Events of each stream for the bytes: two whole contexts of the gateway.
const EVENTS: u64 = 128;

/// The lengths of logs, and the number of streams with one each.
const LOGS: [(usize, usize); 2] = [(1_000, 100), (10_000, 20)];

impl Run {
    /// Measures the parts that `--only` names, or all of them: `bytes`, `cpu`, `memory`.
    pub fn compression(&mut self) -> Outcome<()> {
        self.keep_others("compression");
        // A run that is to show only that it works takes one content and one coding.
        let (kinds, codings, logs) = match self.is_small() {
            true => (&ContentKind::ALL[..1], &CODINGS[..2], &LOGS[..1]),
            false => (&ContentKind::ALL[..], &CODINGS[..], &LOGS[..]),
        };
        if self.wants("bytes") {
            for &kind in kinds {
                for &coding in codings {
                    self.part("bytes", kind.name(), coding, 1, |run| run.bytes(kind, coding))?;
                }
            }
        }
        if self.wants("cpu") {
            let asked = self.calibrate(&self.settings, CEILING_SHARE);
            self.rounds(|run, round| {
                codings
                    .iter()
                    .try_for_each(|&coding| run.part("cpu", "ticks", coding, round, |run| run.cpu(coding, asked)))
            })?;
        }
        if self.wants("memory") {
            for &(events, streams) in logs {
                let (events, streams) = if self.is_small() { (events / 10, 2) } else { (events, streams) };
                let mut bare = None;
                for &coding in codings {
                    let what = format!("{events} events");
                    self.part("memory", &what, coding, 1, |run| run.memory(coding, events, streams, &mut bare))?;
                }
            }
        }
        Ok(())
    }

    /// Keeps the figures of one part. A failure costs the row; at its end the run fails.
    fn part(
        &mut self,
        part: &str,
        what: &str,
        coding: Option<Coding>,
        round: usize,
        measure: impl FnOnce(&mut Self) -> Outcome<Value>,
    ) -> Outcome<()> {
        let name = coding.map_or("identity", Coding::name);
        let outcome = measure(self);
        match &outcome {
            Ok(figures) => println!("{part:<8} {what:<14} {name:<9} {round} {figures}"),
            Err(error) => println!("{part:<8} {what:<14} {name:<9} {round} failed: {error}"),
        }
        self.failed += usize::from(outcome.is_err());
        let failed = outcome.as_ref().err().map(ToString::to_string);
        let figures = outcome.ok();
        self.report.keep(json!({ "part": part, "what": what, "coding": name, "round": round, "failed": failed,
            "figures": figures }));
        Ok(())
    }

    /// Returns the settings of a gateway whose clients read a content in a coding.
    fn settings_for(&self, kind: ContentKind, coding: Option<Coding>, clients: usize) -> ServerSettings {
        // Some two hundred clients decode: more would keep the other core from its work.
        let content = Some(ContentSettings { kind, coding, checked: clients.div_ceil(200) });
        ServerSettings { content, ..self.settings.clone() }
    }

    /// Measures the bytes of an event, with HTTP's framing, and with TLS's records as well.
    fn bytes(&self, kind: ContentKind, coding: Option<Coding>) -> Outcome<Value> {
        let clients = (self.size.clients / 10).max(1);
        let mut server = Server::start(Kind::Rillgate, &self.settings_for(kind, coding, clients))?;
        let mut load = Load::new()?;
        load.connect(&server.client_settings(0)?, clients, Duration::from_secs(30))?;
        load.receive(Duration::from_millis(300))?;
        load.tally.restart();
        server.send(Instruction::Rate(if self.is_small() { 100.0 } else { 20.0 }))?;
        load.receive_events(EVENTS * clients as u64, Duration::from_secs(60))?;
        server.send(Instruction::Rate(0.0))?;
        load.settle(server.sent()?, Duration::from_secs(15))?;
        load.verdict()?;
        let of = |bytes: u64| rounded(bytes as f64 / load.tally.events as f64);
        Ok(
            json!({ "clients": clients, "http_bytes": of(load.tally.http_bytes), "wire_bytes": of(load.tally.wire_bytes) }),
        )
    }

    /// Measures the CPU of a delivery, in microseconds.
    fn cpu(&self, coding: Option<Coding>, asked: Asked) -> Outcome<Value> {
        let settings = self.settings_for(ContentKind::Ticks, coding, self.size.clients);
        let workload = Workload {
            connections: self.size.clients,
            h2_streams: 0,
            pace: Instruction::Rate(asked.rate),
            filled: 0,
            window: self.size.window,
            cores: None,
        };
        let mut row = Row::new(Kind::Rillgate.name(), 1);
        workload.measure(&mut Server::start(Kind::Rillgate, &settings)?, &mut row)?;
        Ok(
            json!({ "clients": self.size.clients, "rate": rounded(asked.rate), "cpu_micros": rounded(row.cpu_per_million),
            "deliveries_per_second": row.deliveries_per_second.round(), "other_share": rounded(row.other_share),
            "idle_kib": rounded(row.idle_kib), "wire_bytes": rounded(row.wire_bytes) }),
        )
    }

    /// Measures the memory of a full log with one reader. `bare` is that of the same streams without events and without a coding, which
    /// the first call finds: a coding has memory before the first event.
    fn memory(
        &self,
        coding: Option<Coding>,
        events: usize,
        streams: usize,
        bare: &mut Option<(f64, f64)>,
    ) -> Outcome<Value> {
        let settings = self.settings_for(ContentKind::Ticks, coding, 1);
        let mut server = Server::start(Kind::Rillgate, &ServerSettings { log: events, streams, ..settings })?;
        let mut load = Load::new()?;
        load.connect(&server.client_settings(0)?, streams, Duration::from_secs(30))?;
        let held = |server: &Server, load: &mut Load| -> Outcome<(f64, f64)> {
            // The gateway updates its gauges once a second.
            load.receive(Duration::from_millis(1500))?;
            let counted = server.metric("rillgate_memory_bytes{kind=\"logs\"}")? / 1024.0;
            Ok((process::pss_kib(&server.processes())?, counted))
        };
        let before = match bare {
            Some(bare) => *bare,
            None => *bare.insert(held(&server, &mut load)?),
        };
        server.send(Instruction::Burst(events as u64))?;
        load.receive_events((events * streams) as u64, Duration::from_secs(120))?;
        load.settle(server.sent()?, Duration::from_secs(15))?;
        load.verdict()?;
        let after = held(&server, &mut load)?;
        let of = |after: f64, before: f64| rounded((after - before) / streams as f64);
        Ok(json!({ "streams": streams, "events": events, "pss_kib": of(after.0, before.0),
            "counted_kib": of(after.1, before.1) }))
    }
}
