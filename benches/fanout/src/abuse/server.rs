//! The server under attack: the gateway, or nginx as a control. Each runs on the server's core.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::situation::{Keys, NAME_SERVER, Situation, Surroundings};
use super::tokens;
use crate::server::{ServerSettings, find, free_port, pinned, wait_for};
use crate::{Outcome, process};

/// Which server is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    Gateway,
    /// nginx as a proxy of the same producers, with its defaults.
    Nginx,
}

/// A server that runs.
pub struct AttackedServer {
    child: Child,
    stderr: Option<ChildStderr>,
    pub http1: SocketAddr,
    /// nginx has a port of its own for HTTP/2 without TLS.
    pub http2: SocketAddr,
    pub admin: Option<SocketAddr>,
}

impl AttackedServer {
    /// Starts it and waits until it can be connected to. `honest` and `hostile` are the ports of the producers.
    pub fn start(
        software: Software,
        situation: &Situation,
        settings: &ServerSettings,
        [honest, hostile]: [u16; 2],
    ) -> Outcome<Self> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let [http1, http2, admin] = [local(free_port()?), local(free_port()?), local(free_port()?)];
        let folder = &settings.folder;
        if software == Software::Nginx {
            fs::write(folder.join("nginx.conf"), nginx(situation, [http1.port(), http2.port(), honest, hostile]))?;
            let mut command = pinned(settings.core, &find("nginx").ok_or("no nginx")?);
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
            let child = command.stderr(fs::File::create(folder.join("nginx.log"))?).spawn()?;
            wait_for(http1)?;
            return Ok(Self { child, stderr: None, http1, http2, admin: None });
        }
        let _ = fs::remove_dir_all(folder.join("store"));
        let file = folder.join("abuse.toml");
        fs::write(&file, rillgate(situation, http1.port(), admin.port(), [honest, hostile]))?;
        let mut command = surrounded(situation.surroundings, settings)?;
        command.arg("serve").arg("--config").arg(file);
        let is_piped = situation.surroundings == Surroundings::FullStderr;
        let log = fs::File::create(folder.join("rillgate.log"))?;
        let mut child = command.stderr(if is_piped { Stdio::piped() } else { log.into() }).spawn()?;
        let stderr = child.stderr.take();
        wait_for(http1)?;
        Ok(Self { child, stderr, http1, http2: http1, admin: Some(admin) })
    }

    /// Reads standard error from now on, if nobody has so far.
    pub fn drain_stderr(&mut self) {
        if let Some(mut stderr) = self.stderr.take() {
            std::thread::spawn(move || {
                let mut part = [0; 64 * 1024];
                while stderr.read(&mut part).is_ok_and(|read| read > 0) {}
            });
        }
    }

    /// Returns its processes.
    pub fn processes(&self) -> Vec<u32> {
        process::tree(self.child.id())
    }
}

impl Drop for AttackedServer {
    fn drop(&mut self) {
        process::stop(&mut self.child);
    }
}

/// Whether the machine allows these surroundings.
pub fn is_possible(surroundings: Surroundings) -> bool {
    surroundings != Surroundings::HangingNameServer
        || Command::new("unshare")
            .args(["-m", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

fn surrounded(surroundings: Surroundings, settings: &ServerSettings) -> Outcome<Command> {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "taskset", "-c"]).arg(settings.core.to_string()).arg(&settings.rillgate);
        command
    };
    Ok(match surroundings {
        Surroundings::Plain | Surroundings::FullStderr => pinned(settings.core, &settings.rillgate),
        Surroundings::FewFiles => shell("ulimit -n 512; exec taskset \"$@\""),
        Surroundings::HangingNameServer => {
            let server = NAME_SERVER.trim_end_matches(":53");
            let file = settings.folder.join("resolv.conf");
            fs::write(&file, format!("nameserver {server}\noptions timeout:10 attempts:2\n"))?;
            let script = format!("mount --bind {} /etc/resolv.conf && exec taskset \"$@\"", file.display());
            let mut command = Command::new("unshare");
            command
                .args(["-m", "sh", "-c", &script, "taskset", "-c"])
                .arg(settings.core.to_string())
                .arg(&settings.rillgate);
            command
        }
    })
}

fn rillgate(situation: &Situation, port: u16, admin: u16, [honest, hostile]: [u16; 2]) -> String {
    let Situation { memory, limits, .. } = situation;
    let tls = "tls = { certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }] }";
    let tls = if situation.is_tls { tls } else { "" };
    let store = if situation.tables.contains("[store]") { "replay = { store = \"disk\" }" } else { "" };
    let tables = situation.tables.replace("{honest}", &honest.to_string()).replace("{hostile}", &hostile.to_string());
    let (auth, issuer) = match situation.keys {
        Keys::None => ("\"public\"", String::new()),
        Keys::File => ("{ issuers = [\"main\"] }", tokens::ISSUER_OF_FILE.to_owned()),
        Keys::KeySet => ("{ issuers = [\"main\"] }", tokens::issuer_of_key_set(honest)),
    };
    format!(
        r#"[[listeners]]
address = "127.0.0.1:{port}"
{tls}

[admin]
address = "127.0.0.1:{admin}"

[limits]
memory = "{memory}MiB"
subscriptions_per_subject = 1000
{limits}

{issuer}
[upstreams.honest]
urls = ["http://127.0.0.1:{honest}"]

[upstreams.hostile]
urls = ["http://127.0.0.1:{hostile}"]

[[routes]]
name = "feed"
path = "/feed/{{name}}"
upstream = "honest"
auth = {auth}
delivery = {{ linger = "1s" }}

[[routes]]
name = "open"
path = "/open/{{name}}"
upstream = "hostile"
auth = "public"
{store}

{tables}"#
    )
}

fn nginx(situation: &Situation, [http1, http2, honest, hostile]: [u16; 4]) -> String {
    let (tls, certificate) = match situation.is_tls {
        true => (" ssl", "ssl_certificate chain.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.3;"),
        false => ("", ""),
    };
    let files = if situation.surroundings == Surroundings::FewFiles { 512 } else { 19_900 };
    format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections {files}; }}\n\
         http {{\naccess_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         proxy_buffering off;\nproxy_read_timeout 1h;\n\
         server {{\nlisten 127.0.0.1:{http1}{tls} backlog=4096;\nlisten 127.0.0.1:{http2} http2 backlog=4096;\n{certificate}\n\
         location /feed/ {{ proxy_pass http://127.0.0.1:{honest}; }}\n\
         location /open/ {{ proxy_pass http://127.0.0.1:{hostile}; }}\n\
         location /unreachable/ {{ proxy_pass http://127.0.0.1:1; }}\n}}\n}}\n"
    )
}
