//! The servers that are compared: how each is started on its core, and what its clients request.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::compression::body::ContentSettings;
use crate::control::{Control, Instruction};
use crate::load::ClientSettings;
use crate::scan::Ids;
use crate::{Outcome, certificate, process, settings};

/// A server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The write loop.
    Ceiling,
    /// The gateway, with tokens, limits, deadlines and metrics.
    Rillgate,
    /// nginx with nchan, as a hub that is posted to.
    Nchan,
    /// nginx as a plain proxy: one connection to the producer for each client.
    Nginx,
    /// haproxy, likewise.
    Haproxy,
    /// caddy, likewise.
    Caddy,
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The folder for its files.
    pub folder: PathBuf,
    /// The gateway's program.
    pub rillgate: PathBuf,
    /// The core for the server; the harness itself and the producer run where the harness was put.
    pub core: usize,
    /// A second core for the gateway, which has a worker on each then.
    pub second_core: Option<usize>,
    /// Whether it uses TLS.
    pub is_tls: bool,
    /// The number of streams.
    pub streams: usize,
    /// The number of additional routes of the gateway.
    pub routes: usize,
    /// The number of events in its log.
    pub log: usize,
    /// The gateway's `gather`.
    pub gather: Duration,
    /// The contents of the streams instead of numbered events, and the coding of the gateway.
    pub content: Option<ContentSettings>,
}

impl ServerSettings {
    /// Returns the cores of the gateway.
    fn cores(&self) -> Vec<usize> {
        [self.core].into_iter().chain(self.second_core).collect()
    }
}

/// A running server and its producer.
pub struct Server {
    child: Child,
    /// Controls the producer, or the ceiling, which makes its own events.
    feed: Control,
    producer: Option<Child>,
    to: SocketAddr,
    settings: ServerSettings,
    token: Option<String>,
    /// The gateway's admin port.
    admin: u16,
    kind: Kind,
}

impl Kind {
    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Rillgate => "rillgate",
            Self::Nchan => "nchan",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Returns true if it can be started on this machine.
    pub fn is_installed(self) -> bool {
        match self {
            Self::Ceiling | Self::Rillgate => true,
            Self::Nchan => find("nginx").is_some() && Path::new(settings::NCHAN).exists(),
            Self::Nginx | Self::Haproxy | Self::Caddy => find(self.name()).is_some(),
        }
    }
}

impl Server {
    /// Starts it and waits until it can be connected to.
    pub fn start(kind: Kind, settings: &ServerSettings) -> Outcome<Self> {
        let folder = &settings.folder;
        let tls = settings.is_tls.then(|| folder.display().to_string());
        if kind == Kind::Ceiling {
            let program = std::env::current_exe()?;
            let mut command = pinned(settings.core, &program);
            command.arg("ceiling").args(tls).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let feed = Control::of(&mut child)?;
            let to = SocketAddr::from(([127, 0, 0, 1], feed.port));
            return Ok(Self {
                child,
                feed,
                producer: None,
                to,
                settings: settings.clone(),
                token: None,
                admin: 0,
                kind,
            });
        }
        let to = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        if kind == Kind::Nchan {
            let posts = free_port()?;
            fs::write(folder.join("nginx.conf"), settings::nchan(settings, to.port(), posts))?;
            let child = nginx(settings)?;
            wait_for(to)?;
            let (producer, feed) = produce(Some(format!("127.0.0.1:{posts}/post")))?;
            return Ok(Self {
                child,
                feed,
                producer: Some(producer),
                to,
                settings: settings.clone(),
                token: None,
                admin: 0,
                kind,
            });
        }
        let (producer, feed) = produce(settings.content.map(|content| content.kind.name().to_owned()))?;
        let mut token = None;
        let admin = free_port()?;
        let child = match kind {
            Kind::Ceiling | Kind::Nchan => unreachable!("started above"),
            Kind::Rillgate => {
                let secret = folder.join("secret");
                fs::write(&secret, [b's'; 32])?;
                fs::write(folder.join("rillgate.toml"), settings::rillgate(settings, to.port(), admin, feed.port))?;
                token = Some(mint(&settings.rillgate, &secret)?);
                let log = fs::File::create(folder.join("rillgate.log"))?;
                let mut command = pinned_to(&settings.cores(), &settings.rillgate);
                command.arg("serve").arg("--config").arg(folder.join("rillgate.toml")).stderr(log);
                command.spawn()?
            }
            Kind::Nginx => {
                fs::write(folder.join("nginx.conf"), settings::proxy(settings, to.port(), feed.port))?;
                nginx(settings)?
            }
            Kind::Haproxy => {
                fs::write(folder.join("haproxy.cfg"), settings::haproxy(settings, to.port(), feed.port))?;
                let log = fs::File::create(folder.join("haproxy.log"))?;
                let mut command = pinned(settings.core, &find("haproxy").ok_or("no haproxy")?);
                command.arg("-f").arg(folder.join("haproxy.cfg")).stdout(log.try_clone()?).stderr(log).spawn()?
            }
            Kind::Caddy => {
                fs::write(folder.join("Caddyfile"), settings::caddy(settings, to.port(), feed.port))?;
                let log = fs::File::create(folder.join("caddy.log"))?;
                let mut command = pinned(settings.core, &find("caddy").ok_or("no caddy")?);
                command.arg("run").arg("--config").arg(folder.join("Caddyfile")).env("GOMAXPROCS", "1");
                command.stdout(log.try_clone()?).stderr(log).spawn()?
            }
        };
        wait_for(to)?;
        Ok(Self { child, feed, producer: Some(producer), to, settings: settings.clone(), token, admin, kind })
    }

    /// Returns the requests of the clients.
    pub fn client_settings(&self, h2_streams: usize) -> Outcome<ClientSettings> {
        let tls = match self.settings.is_tls {
            true => Some(certificate::client(&self.settings.folder, h2_streams > 0)?),
            false => None,
        };
        let content = self.settings.content;
        let coding = content.and_then(|content| content.coding);
        let token = self.token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}")));
        let accepted = coding.map(|coding| ("accept-encoding".to_owned(), coding.name().to_owned()));
        let fields = token.chain(accepted).collect();
        let paths = (0..self.settings.streams).map(|stream| format!("/feed/{stream}")).collect();
        let ids = if self.kind == Kind::Nchan { Ids::Seconds } else { Ids::Producers };
        Ok(ClientSettings { to: self.to, tls, h2_streams, paths, fields, ids, first: 1, content, turns: None })
    }

    /// Returns the sum of one of the gateway's metrics.
    pub fn metric(&self, name: &str) -> Outcome<f64> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.admin))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let lines =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Sends an instruction to its producer, or to the ceiling itself.
    pub fn send(&mut self, instruction: Instruction) -> Outcome<()> {
        self.feed.send(instruction)
    }

    /// Returns the number of events that its producer has sent.
    pub fn sent(&mut self) -> Outcome<u64> {
        self.feed.sent()
    }

    /// Returns its settings.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Returns the seconds for which its cores were busy with anything.
    pub fn core_seconds(&self) -> Outcome<f64> {
        self.settings.cores().into_iter().map(process::core_seconds).sum()
    }

    /// Returns its processes.
    pub fn processes(&self) -> Vec<u32> {
        process::tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stop the producer first: it fails when its hub is gone.
        if let Some(producer) = &mut self.producer {
            let _ = producer.kill();
            let _ = producer.wait();
        }
        process::stop(&mut self.child);
    }
}

/// Returns a command that runs a program on a core.
pub fn pinned(core: usize, program: &Path) -> Command {
    pinned_to(&[core], program)
}

fn pinned_to(cores: &[usize], program: &Path) -> Command {
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cores.join(",")).arg(program);
    command
}

/// Starts a producer, of a content with a name or of numbered events, or a client that posts to a hub.
pub fn produce(of: Option<String>) -> Outcome<(Child, Control)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("producer").args(of).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let control = Control::of(&mut child)?;
    Ok((child, control))
}

fn nginx(settings: &ServerSettings) -> Outcome<Child> {
    let mut command = pinned(settings.core, &find("nginx").ok_or("no nginx")?);
    command.arg("-p").arg(&settings.folder).arg("-c").arg(settings.folder.join("nginx.conf"));
    Ok(command.stderr(fs::File::create(settings.folder.join("nginx.log"))?).spawn()?)
}

/// Mints the clients' token.
pub fn mint(rillgate: &Path, secret: &Path) -> Outcome<String> {
    let mut command = Command::new(rillgate);
    command.arg("token").arg("--key").arg(secret).args(["--issuer", "https://id.example.com/", "--audience", "bench"]);
    let output = command.args(["--claim", r#"streams=["/*/*"]"#]).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        false => Err(format!("no token: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Returns the path of a program, also where a user's shell does not look.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns a port that nobody uses now and that this process has not returned before: the kernel may give a closed one again.
pub fn free_port() -> Outcome<u16> {
    static RETURNED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut returned = RETURNED.lock().map_err(|_| "a thread panicked")?;
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if returned.insert(port) {
            return Ok(port);
        }
    }
}

/// Waits until somebody listens.
pub fn wait_for(address: SocketAddr) -> Outcome<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(format!("no server listens at {address}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // Lets the server close this connection before anything is measured.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}
