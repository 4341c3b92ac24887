//! One situation at one server: before, during and after the attack.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::attack::Attack;
use super::attacker::Attacker;
use super::figures::{Figures, RETURN, bearable};
use super::memory::MemoryWatch;
use super::newcomers::{Newcomers, Visit};
use super::readers::{DirectReader, Latency, Readers};
use super::server::{AttackedServer, Software};
use super::situation::{Keys, Newcomer, Situation};
use super::tokens::Tokens;
use crate::control::{Control, Instruction};
use crate::load::ClientSettings;
use crate::scan::Ids;
use crate::server::ServerSettings;
use crate::{Outcome, certificate, process};

/// Memory above which an attack is ended, for the machine's sake, in MiB.
const TOO_MUCH: f64 = 2048.0;

/// The time that a control has beside its phases: to start, to connect the readers, and to return.
const CONTROL_EXTRA: Duration = Duration::from_secs(60);

/// A situation that is tried.
#[derive(Clone)]
pub struct Trial {
    settings: ServerSettings,
    situation: &'static Situation,
    readers: usize,
    /// The lengths of the phases.
    before: Duration,
    during: Duration,
    after: Duration,
}

impl Trial {
    /// Prepares a trial. A smoke test has 20 readers and takes two seconds.
    pub fn new(settings: &ServerSettings, situation: &'static Situation, is_smoke: bool) -> Self {
        let seconds = Duration::from_secs;
        let [before, during, after] = match is_smoke {
            true => [seconds(1), seconds(1), seconds(1)],
            false => [seconds(3), seconds(situation.seconds), seconds(2)],
        };
        let readers = if is_smoke { super::READERS / 10 } else { super::READERS };
        Self { settings: settings.clone(), situation, readers, before, during, after }
    }

    /// Tries a server that may hang: what does not end in time is killed.
    pub fn run_control(&self, software: Software) -> Outcome<Figures> {
        let (trial, (told, figures)) = (self.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            // Nobody waits any more if it took too long.
            let _ = told.send(trial.run(software).map_err(|error| error.to_string()));
        });
        let most = self.before + self.during + self.after + CONTROL_EXTRA;
        if let Ok(figures) = figures.recv_timeout(most) {
            return figures.map_err(Into::into);
        }
        // The thread ends by errors when the processes of the trial are gone.
        process::kill_children();
        let _ = figures.recv_timeout(CONTROL_EXTRA);
        Err(format!("not done within {most:?}").into())
    }

    /// Starts everything, attacks, and ends everything.
    pub fn run(&self, software: Software) -> Outcome<Figures> {
        let Self { settings, situation, .. } = self;
        let is_gateway = software == Software::Gateway;
        let mut attacker = Attacker::start(situation.attack.name(), &settings.folder)?;
        let mut producer = Producer::start(settings)?;
        let tokens = match situation.keys {
            Keys::None => None,
            Keys::File | Keys::KeySet => Some(Tokens::make(settings, situation.keys == Keys::KeySet)?),
        };
        let mut server = AttackedServer::start(software, situation, settings, [producer.control.port, attacker.port])?;
        let tls = if situation.is_tls { Some(certificate::client(&settings.folder, false)?) } else { None };
        let token = tokens.as_ref().map(|tokens| tokens.first.clone());
        let client_settings = ClientSettings {
            to: server.http1,
            tls: tls.clone(),
            h2_streams: 0,
            paths: vec!["/feed/0".to_owned()],
            fields: token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).collect(),
            ids: Ids::Producers,
            first: 1,
            content: None,
            turns: None,
        };
        let mut readers = Readers::connect(&client_settings, self.readers)?;
        producer.control.send(Instruction::Rate(10.0))?;
        let private = (situation.attack == Attack::Store).then(|| subscribe(server.http1, "/private/a", None));
        let direct = DirectReader::start(ClientSettings {
            to: SocketAddr::from(([127, 0, 0, 1], producer.control.port)),
            tls: None,
            fields: Vec::new(),
            ..client_settings.clone()
        });
        readers.observe(Duration::from_secs(1))?;

        let newcomers = Newcomers::start(server.http1, server.admin, situation.newcomer, tls, token);
        let processes = server.processes();
        let (start, cpu) = (Instant::now(), process::cpu_seconds(&processes));
        direct.take();
        let before = readers.observe(self.before)?;
        let began = Instant::now();
        let calm = newcomers.between(start, began);
        let idle = (process::cpu_seconds(&processes) - cpu) / start.elapsed().as_secs_f64();
        drop(private);
        let mut figures = Figures::default();
        (figures.readers[0], figures.newcomers[0]) = (before.p99(), p99(&calm));
        figures.direct[0] = direct.take().p99();
        let limits = [figures.readers[0], figures.newcomers[0]].map(bearable);
        if calm.iter().any(|visit| !visit.is_good) {
            return Err("honest clients were refused before the attack".into());
        }

        let memory = MemoryWatch::start(server.processes());
        let (held_before, cpu) = (memory.now(), process::cpu_seconds(&processes));
        let busy = process::core_seconds(settings.core)?;
        let admin = server.admin.unwrap_or(server.http1);
        let account = attacker.begin([server.http1, server.http2, admin], self.during)?;
        let mut during = Latency::default();
        let mut rotated = None;
        while !account.is_finished() && began.elapsed() < self.during + Duration::from_secs(15) {
            readers.step(&mut during)?;
            if memory.peak() > TOO_MUCH {
                attacker.kill();
            }
            if situation.newcomer == Newcomer::NewKey && rotated.is_none() && began.elapsed() > self.during / 2 {
                let tokens = tokens.as_ref().ok_or("a rotation without keys")?;
                tokens.rotate()?;
                newcomers.show(&tokens.second);
                rotated = Some(Instant::now());
            }
        }
        let ended = Instant::now();
        figures.direct[1] = direct.take().p99();
        attacker.kill();
        server.drain_stderr();
        let seconds = began.elapsed().as_secs_f64();
        let cpu = process::cpu_seconds(&processes) - cpu;
        figures.cpu_seconds = (cpu - idle * seconds).max(0.0);
        figures.other_share = ((process::core_seconds(settings.core)? - busy - cpu) / seconds).max(0.0);
        if let Ok(Some(account)) = account.join() {
            (figures.sent, figures.produced) = (account.sent as f64, account.produced as f64);
            figures.requests = account.requests;
        }

        figures.back = self.await_return(&mut readers, &mut during, &newcomers, ended, limits)?;
        let quiet = Instant::now();
        direct.take();
        let after = readers.observe(self.after)?;
        figures.direct[2] = direct.take().p99();
        (figures.readers[1], figures.readers[2]) = (during.p99(), after.p99());
        let visits = newcomers.between(began, ended);
        figures.visits = visits.iter().filter(|visit| !visit.is_probe).count();
        figures.failed = visits.iter().filter(|visit| !visit.is_good && !visit.is_probe).count();
        figures.unanswered_probes = visits.iter().filter(|visit| !visit.is_good && visit.is_probe).count();
        (figures.newcomers[1], figures.newcomers[2]) = (p99(&visits), p99(&newcomers.between(quiet, Instant::now())));
        (figures.peak, figures.grown) = (memory.peak(), memory.peak() - held_before);
        figures.faults = readers.faults();
        if is_gateway {
            figures.shown = rotated.map(|rotated| told_of_new_key(&visits, rotated));
        }
        if situation.attack == Attack::Store {
            figures.shown = Some(keeps_private_past(server.http1));
        }
        Ok(figures)
    }

    /// Reads on until readers and newcomers are served as before the attack for a second. Returns the seconds that it took,
    /// or what was wrong last.
    fn await_return(
        &self,
        readers: &mut Readers,
        during: &mut Latency,
        newcomers: &Newcomers,
        ended: Instant,
        limits: [f64; 2],
    ) -> Outcome<Result<f64, String>> {
        let (mut late, mut streak, mut wrong) = (ended, 0, String::new());
        while ended.elapsed() < RETURN {
            let began = Instant::now();
            let step = readers.step(during)?;
            let visits = newcomers.between(began, Instant::now());
            match unserved(step, &visits, limits) {
                None => streak += 1,
                Some(unserved) => (late, streak, wrong) = (Instant::now(), 0, unserved),
            }
            if streak == 5 {
                return Ok(Ok((late - ended).as_secs_f64()));
            }
        }
        Ok(Err(wrong))
    }
}

/// Says what is wrong in a step, if anything is.
fn unserved(step: Option<f64>, visits: &[Visit], limits: [f64; 2]) -> Option<String> {
    let Some(p99) = step else { return Some("readers got nothing".to_owned()) };
    if p99 > limits[0] {
        return Some(format!("readers waited {p99:.0} ms"));
    }
    if visits.iter().all(|visit| visit.is_probe) {
        return Some("no newcomer was answered".to_owned());
    }
    let wrong = visits.iter().find(|visit| !visit.is_good || milliseconds(visit) > limits[1])?;
    let who = if wrong.is_probe { "a probe" } else { "a newcomer" };
    Some(format!("{who} got status {} after {:.0} ms", wrong.status, milliseconds(wrong)))
}

/// The honest producer's process.
struct Producer {
    child: Child,
    control: Control,
}

impl Producer {
    fn start(settings: &ServerSettings) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("honest").arg(&settings.folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let control = Control::of(&mut child)?;
        Ok(Self { child, control })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn milliseconds(visit: &Visit) -> f64 {
    visit.took.as_secs_f64() * 1e3
}

fn p99(visits: &[Visit]) -> f64 {
    let mut all: Vec<_> = visits.iter().filter(|visit| !visit.is_probe).map(milliseconds).collect();
    all.sort_by(f64::total_cmp);
    all.get((all.len() * 99 / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY)
}

/// Subscribes and returns the connection and the head of the response.
fn subscribe(to: SocketAddr, path: &str, id: Option<u64>) -> std::io::Result<(TcpStream, String)> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let id = id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{id}\r\n").as_bytes())?;
    let mut part = [0; 4096];
    let read = socket.read(&mut part)?;
    let head = String::from_utf8_lossy(&part[..read]).to_ascii_lowercase();
    Ok((socket, head))
}

/// Asks for the past of the stream that was closed before the attack.
fn keeps_private_past(to: SocketAddr) -> Result<String, String> {
    let (_, head) = subscribe(to, "/private/a", Some(5)).map_err(|error| format!("the private stream: {error}"))?;
    let verdict = head.lines().find(|line| line.starts_with("rillgate-resume:")).unwrap_or("no verdict").to_owned();
    if verdict.contains(" resumed") { Ok(verdict) } else { Err(format!("the private stream: {verdict}")) }
}

/// A good token of a new key may have to wait, which is a 503, but it is never said to be wrong.
fn told_of_new_key(visits: &[Visit], rotated: Instant) -> Result<String, String> {
    let shown: Vec<_> =
        visits.iter().filter(|visit| !visit.is_probe && visit.began > rotated + Duration::from_millis(100)).collect();
    let wrong = shown.iter().filter(|visit| visit.status == 401).count();
    let known = shown.iter().find(|visit| visit.is_good).map(|visit| visit.began - rotated);
    match known {
        Some(known) if wrong == 0 => Ok(format!("the new key was known after {:.1} s", known.as_secs_f64())),
        Some(known) => Err(format!("401 for {wrong} good tokens, until {:.1} s after", known.as_secs_f64())),
        None => Err(format!("401 for {wrong} good tokens, and never known")),
    }
}
