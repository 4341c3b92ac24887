//! The servers that are compared: how each is started on its core, and what clients ask of it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control::{Control, Order};
use crate::load::Ask;
use crate::{Outcome, certificate, process};

/// Who serves.
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

/// What is to be served.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Where files may be written.
    pub folder: PathBuf,
    /// The gateway's program.
    pub rillgate: PathBuf,
    /// The core for the server; the harness itself and the producer run where the harness was put.
    pub core: usize,
    /// Whether with TLS.
    pub is_tls: bool,
    /// How many streams there are.
    pub streams: usize,
    /// How many routes the gateway has besides.
    pub routes: usize,
    /// How many events its log keeps.
    pub log: usize,
}

/// A server that runs, with what feeds it.
pub struct Server {
    child: Child,
    /// The ceiling makes its own events, all others have a producer.
    feed: Control,
    producer: Option<Child>,
    to: SocketAddr,
    scene: Scene,
    token: Option<String>,
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

    /// Whether it can be started here.
    pub fn is_installed(self) -> bool {
        match self {
            Self::Ceiling | Self::Rillgate => true,
            Self::Nchan => find("nginx").is_some() && Path::new(NCHAN).exists(),
            Self::Nginx | Self::Haproxy | Self::Caddy => find(self.name()).is_some(),
        }
    }
}

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

impl Server {
    /// Starts it and waits until it can be connected to.
    pub fn start(kind: Kind, scene: &Scene) -> Outcome<Self> {
        let folder = &scene.folder;
        let tls = scene.is_tls.then(|| folder.display().to_string());
        if kind == Kind::Ceiling {
            let program = std::env::current_exe()?;
            let mut command = pinned(scene.core, &program);
            command.arg("ceiling").args(tls).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let feed = Control::of(&mut child)?;
            let to = SocketAddr::from(([127, 0, 0, 1], feed.port));
            return Ok(Self { child, feed, producer: None, to, scene: scene.clone(), token: None, kind });
        }
        let to = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        if kind == Kind::Nchan {
            let posts = free_port()?;
            fs::write(folder.join("nginx.conf"), nchan(scene, to.port(), posts))?;
            let child = nginx(scene)?;
            wait_for(to)?;
            let (producer, feed) = produce(Some(format!("127.0.0.1:{posts}/post")))?;
            return Ok(Self { child, feed, producer: Some(producer), to, scene: scene.clone(), token: None, kind });
        }
        let (producer, feed) = produce(None)?;
        let mut token = None;
        let child = match kind {
            Kind::Ceiling | Kind::Nchan => unreachable!("started above"),
            Kind::Rillgate => {
                let secret = folder.join("secret");
                fs::write(&secret, [b's'; 32])?;
                fs::write(folder.join("rillgate.toml"), rillgate(scene, to.port(), feed.port))?;
                token = Some(mint(&scene.rillgate, &secret)?);
                let log = fs::File::create(folder.join("rillgate.log"))?;
                let mut command = pinned(scene.core, &scene.rillgate);
                command.arg("serve").arg("--config").arg(folder.join("rillgate.toml")).stderr(log);
                command.spawn()?
            }
            Kind::Nginx => {
                fs::write(folder.join("nginx.conf"), proxy(scene, to.port(), feed.port))?;
                nginx(scene)?
            }
            Kind::Haproxy => {
                fs::write(folder.join("haproxy.cfg"), haproxy(scene, to.port(), feed.port))?;
                let log = fs::File::create(folder.join("haproxy.log"))?;
                let mut command = pinned(scene.core, &find("haproxy").ok_or("no haproxy")?);
                command.arg("-f").arg(folder.join("haproxy.cfg")).stdout(log.try_clone()?).stderr(log).spawn()?
            }
            Kind::Caddy => {
                fs::write(folder.join("Caddyfile"), caddy(scene, to.port(), feed.port))?;
                let log = fs::File::create(folder.join("caddy.log"))?;
                let mut command = pinned(scene.core, &find("caddy").ok_or("no caddy")?);
                command.arg("run").arg("--config").arg(folder.join("Caddyfile")).env("GOMAXPROCS", "1");
                command.stdout(log.try_clone()?).stderr(log).spawn()?
            }
        };
        wait_for(to)?;
        Ok(Self { child, feed, producer: Some(producer), to, scene: scene.clone(), token, kind })
    }

    /// What clients ask of it.
    pub fn ask(&self, h2_streams: usize) -> Outcome<Ask> {
        let tls = match self.scene.is_tls {
            true => Some(certificate::client(&self.scene.folder, h2_streams > 0)?),
            false => None,
        };
        let fields = self.token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).collect();
        let paths = (0..self.scene.streams).map(|stream| format!("/feed/{stream}")).collect();
        Ok(Ask { to: self.to, tls, h2_streams, paths, fields })
    }

    /// Who it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells what feeds it.
    pub fn tell(&mut self, order: Order) -> Outcome<()> {
        self.feed.tell(order)
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        process::tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The producer first: it would complain that its hub is gone.
        if let Some(producer) = &mut self.producer {
            let _ = producer.kill();
            let _ = producer.wait();
        }
        // nginx' workers end when their master is told to, not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

fn produce(hub: Option<String>) -> Outcome<(Child, Control)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("producer").args(hub).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let control = Control::of(&mut child)?;
    Ok((child, control))
}

fn nginx(scene: &Scene) -> Outcome<Child> {
    let mut command = pinned(scene.core, &find("nginx").ok_or("no nginx")?);
    command.arg("-p").arg(&scene.folder).arg("-c").arg(scene.folder.join("nginx.conf"));
    Ok(command.stderr(fs::File::create(scene.folder.join("nginx.log"))?).spawn()?)
}

fn mint(rillgate: &Path, secret: &Path) -> Outcome<String> {
    let mut command = Command::new(rillgate);
    command.arg("token").arg("--key").arg(secret).args(["--issuer", "https://id.example.com/", "--audience", "bench"]);
    let output = command.args(["--claim", r#"streams=["/feed/*"]"#]).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        false => Err(format!("no token: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_for(address: SocketAddr) -> Outcome<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(format!("nobody listens at {address}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // The connection that was made to look is to be gone before anything is measured.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// All that a production route has: tokens, limits, deadlines, metrics. Only the rates at which clients may come are
/// raised, so that a run does not wait for them.
fn rillgate(scene: &Scene, port: u16, producer: u16) -> String {
    let tls =
        if scene.is_tls { "tls = { certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }] }\n" } else { "" };
    let mut text = format!(
        r#"[[listeners]]
address = "127.0.0.1:{port}"
{tls}
[admin]
address = "127.0.0.1:0"

[limits]
accepts_per_second = 50000
handshakes_per_second = 50000
connections_per_ip = 1000

[issuers.main]
issuer = "https://id.example.com/"
audience = ["bench"]
keys = [{{ secret = {{ file = "secret" }}, algorithm = "HS256" }}]

[upstreams.producer]
urls = ["http://127.0.0.1:{producer}"]

[[routes]]
name = "feed"
path = "/feed/{{name}}"
upstream = "producer"
auth = {{ issuers = ["main"], streams_claim = "streams" }}
replay = {{ events = {log}, bytes = "4GiB" }}
delivery = {{ max_age = "1h" }}
"#,
        log = scene.log,
    );
    for route in 0..scene.routes {
        text.push_str(&format!(
            "\n[[routes]]\nname = \"other-{route}\"\npath = \"/other-{route}/{{name}}\"\nupstream = \"producer\"\n\
             auth = {{ issuers = [\"main\"] }}\n"
        ));
    }
    text
}

const NGINX: &str = "user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr error;
events { worker_connections 19900; }
";

const NGINX_HTTP: &str = "access_log off;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
keepalive_requests 1000000000;
keepalive_timeout 1h;
";

fn nginx_listen(scene: &Scene, port: u16) -> String {
    match scene.is_tls {
        false => format!("listen 127.0.0.1:{port} backlog=4096;\n"),
        true => format!(
            "listen 127.0.0.1:{port} ssl backlog=4096;\nssl_certificate chain.pem;\nssl_certificate_key key.pem;\n\
             ssl_protocols TLSv1.3;\n"
        ),
    }
}

fn nchan(scene: &Scene, port: u16, posts: u16) -> String {
    let listen = nginx_listen(scene, port);
    format!(
        "load_module {NCHAN};\n{NGINX}http {{\n{NGINX_HTTP}nchan_shared_memory_size 512m;\n\
         server {{\n{listen}location /feed/ {{ nchan_subscriber eventsource; nchan_channel_id bench; \
         nchan_message_buffer_length 1000; nchan_message_timeout 10m; nchan_subscriber_first_message newest; }}\n}}\n\
         server {{\nlisten 127.0.0.1:{posts};\nlocation = /post {{ nchan_publisher; nchan_channel_id bench; \
         nchan_message_buffer_length 1000; nchan_message_timeout 10m; }}\n}}\n}}\n"
    )
}

fn proxy(scene: &Scene, port: u16, producer: u16) -> String {
    let listen = nginx_listen(scene, port);
    format!(
        "{NGINX}http {{\n{NGINX_HTTP}server {{\n{listen}location / {{ proxy_pass http://127.0.0.1:{producer}; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; proxy_read_timeout 1h; }}\n}}\n}}\n"
    )
}

fn haproxy(scene: &Scene, port: u16, producer: u16) -> String {
    let tls = if scene.is_tls {
        format!(" ssl crt {} ssl-min-ver TLSv1.3", scene.folder.join("both.pem").display())
    } else {
        String::new()
    };
    format!(
        "global\n  maxconn 9500\n  nbthread 1\n\ndefaults\n  mode http\n  timeout connect 10s\n  timeout client 1h\n  \
         timeout server 1h\n\nfrontend clients\n  bind 127.0.0.1:{port}{tls}\n  default_backend producer\n\n\
         backend producer\n  server producer 127.0.0.1:{producer}\n"
    )
}

fn caddy(scene: &Scene, port: u16, producer: u16) -> String {
    let (scheme, tls) = match scene.is_tls {
        true => {
            let folder = scene.folder.display();
            ("https", format!("tls {folder}/chain.pem {folder}/key.pem\n"))
        }
        false => ("http", String::new()),
    };
    format!(
        "{{\n  admin off\n  auto_https off\n}}\n{scheme}://localhost:{port} {{\n  {tls}  reverse_proxy \
         127.0.0.1:{producer} {{\n    flush_interval -1\n  }}\n}}\n"
    )
}
