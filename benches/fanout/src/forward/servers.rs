//! The servers that forward, each with one worker on its core, and the processes behind them.
//!
//! Each does what it does in front of an application: TLS, an access line for each request, the fields that say who the
//! client is, connections to the application that are used again, and WebSockets. Bodies are passed on as they come; nginx
//! keeps its buffers in memory.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::control::{Control, Instruction};
use crate::server::{self, Kind, ServerSettings, find, free_port, pinned, wait_for};
use crate::{Outcome, process};

/// A server that forwards, with its application and its producer of events.
pub struct ForwardServer {
    child: Child,
    application: Child,
    /// Held for its standard input: the application ends when that is closed.
    application_port: Control,
    producer: Child,
    feed: Control,
    to: SocketAddr,
}

impl ForwardServer {
    /// Starts a server and waits until it can be connected to.
    pub fn start(kind: Kind, settings: &ServerSettings) -> Outcome<Self> {
        let folder = &settings.folder;
        let mut command = Command::new(std::env::current_exe()?);
        let mut application = command.arg("application").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let application_port = Control::of(&mut application)?;
        let (producer, feed) = server::produce(None)?;
        let to = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let ports = Ports { public: to.port(), application: application_port.port, producer: feed.port };
        // A disk that is busy would stop nginx and Caddy at each line.
        let log = fs::OpenOptions::new().write(true).open("/dev/null")?;
        let child = match kind {
            Kind::Nginx => {
                fs::write(folder.join("nginx.conf"), nginx(settings, &ports))?;
                let mut command = pinned(settings.core, &find("nginx").ok_or("no nginx")?);
                command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).stderr(log).spawn()?
            }
            Kind::Caddy => {
                fs::write(folder.join("Caddyfile"), caddy(settings, &ports))?;
                let mut command = pinned(settings.core, &find("caddy").ok_or("no caddy")?);
                command.arg("run").arg("--config").arg(folder.join("Caddyfile")).env("GOMAXPROCS", "1");
                command.stdout(log.try_clone()?).stderr(log).spawn()?
            }
            Kind::Rillgate => {
                let file = folder.join("forward.toml");
                fs::write(&file, rillgate(settings, &ports))?;
                pinned(settings.core, &settings.rillgate).arg("serve").arg("--config").arg(file).stderr(log).spawn()?
            }
            Kind::Ceiling | Kind::Nchan | Kind::Haproxy => return Err("it is not compared".into()),
        };
        wait_for(to)?;
        Ok(Self { child, application, application_port, producer, feed, to })
    }

    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        self.to
    }

    /// Returns the address of the application.
    pub fn application(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.application_port.port))
    }

    /// Sends an instruction to the producer.
    pub fn send(&mut self, instruction: Instruction) -> Outcome<()> {
        self.feed.send(instruction)
    }

    /// Returns the number of events that the producer has sent.
    pub fn sent(&mut self) -> Outcome<u64> {
        self.feed.sent()
    }

    /// Returns the processes of the server.
    pub fn processes(&self) -> Vec<u32> {
        process::tree(self.child.id())
    }
}

impl Drop for ForwardServer {
    fn drop(&mut self) {
        for child in [&mut self.producer, &mut self.application] {
            let _ = child.kill();
            let _ = child.wait();
        }
        process::stop(&mut self.child);
    }
}

/// The ports of a run.
struct Ports {
    public: u16,
    application: u16,
    producer: u16,
}

fn rillgate(settings: &ServerSettings, ports: &Ports) -> String {
    let Ports { public, application, producer } = ports;
    let tls =
        if settings.is_tls { "tls = { certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }] }" } else { "" };
    format!(
        r#"[[listeners]]
address = "127.0.0.1:{public}"
{tls}

[limits]
accepts_per_second = 50000
handshakes_per_second = 50000
subscriptions_per_ip = 100000

[upstreams.producer]
urls = ["http://127.0.0.1:{producer}"]

[upstreams.application]
urls = ["http://127.0.0.1:{application}"]

[[routes]]
name = "feed"
path = "/feed/{{name}}"
upstream = "producer"
auth = "public"

[[routes]]
name = "site"
path = "/{{*rest}}"
upstream = "application"
auth = "public"
forward = {{ body_bytes = "2GiB" }}
"#
    )
}

fn nginx(settings: &ServerSettings, ports: &Ports) -> String {
    let Ports { public, application, .. } = ports;
    let (tls, certificate) = match settings.is_tls {
        true => (" ssl", "ssl_certificate chain.pem;\nssl_certificate_key key.pem;\nssl_protocols TLSv1.3;\n"),
        false => ("", ""),
    };
    format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 10000; }}\n\
         http {{\naccess_log /dev/null;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         client_max_body_size 0;\n\
         upstream application {{ server 127.0.0.1:{application}; keepalive 128; keepalive_requests 1000000000; }}\n\
         map $http_upgrade $connection_field {{ default upgrade; '' ''; }}\n\
         server {{\nlisten 127.0.0.1:{public}{tls} backlog=4096;\n{certificate}\
         location / {{\nproxy_pass http://application;\nproxy_http_version 1.1;\nproxy_set_header Host $http_host;\n\
         proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $connection_field;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\nproxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_request_buffering off;\nproxy_max_temp_file_size 0;\nproxy_read_timeout 1h;\n}}\n}}\n}}\n"
    )
}

fn caddy(settings: &ServerSettings, ports: &Ports) -> String {
    let (folder, Ports { public, application, .. }) = (settings.folder.display(), ports);
    let (scheme, tls) = match settings.is_tls {
        true => ("https", format!("tls {folder}/chain.pem {folder}/key.pem")),
        false => ("http", String::new()),
    };
    format!(
        "{{\n  admin off\n  auto_https off\n}}\n{scheme}://localhost:{public} {{\n  bind 127.0.0.1\n  {tls}\n  log {{\n    \
         output stderr\n  }}\n  reverse_proxy 127.0.0.1:{application}\n}}\n"
    )
}
