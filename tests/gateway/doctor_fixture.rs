//! Proxies in front of a gateway, each with settings of the test, and `rillgate doctor` in front of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::support::certificates::{Authority, Identity};
use super::support::process::{Process, bound_to_this_process, readable_folder, server_path};
use super::support::producer::node;
use super::support::reserved_addr::reserve;
use super::support::server::Rillgate;
use super::support::wait::{DEADLINE, within};

/// A running proxy; killed when dropped.
pub struct FrontProxy {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// What the doctor said.
pub struct Examined {
    pub status: Option<i32>,
    /// Null without a report.
    pub report: Value,
    /// Standard error.
    pub said: String,
}

impl FrontProxy {
    /// Starts HAProxy with TLS in front of `gateway`, with these lines for the protocols, the frontend and the backend.
    pub async fn haproxy(
        authority: &Authority,
        gateway: SocketAddr,
        alpn: &str,
        frontend: &str,
        backend: &str,
    ) -> Self {
        let (address, folder) = (reserve(), readable_folder());
        let Identity { chain_pem, key_pem, .. } = identity(authority, address);
        std::fs::write(folder.path().join("server.pem"), chain_pem + &key_pem).unwrap();
        let config = format!(
            "global\n maxconn 100\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 1h\n \
             timeout server 1h\nfrontend f\n bind {address} ssl crt server.pem alpn {alpn}\n {frontend}\n \
             default_backend b\nbackend b\n {backend}\n server g {gateway}\n"
        );
        std::fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        Self::start(address, folder, Command::new("haproxy").args(["-db", "-f", "haproxy.cfg"])).await
    }

    /// Starts nginx with TLS and HTTP/2 in front of `gateway`, with these lines for its location.
    pub async fn nginx(authority: &Authority, gateway: SocketAddr, location: &str) -> Self {
        let (address, folder) = (reserve(), readable_folder());
        let Identity { chain_pem, key_pem, .. } = identity(authority, address);
        std::fs::write(folder.path().join("server.pem"), chain_pem).unwrap();
        std::fs::write(folder.path().join("server.key"), key_pem).unwrap();
        let config = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\n\
             scgi_temp_path scgi;\nserver {{\nlisten {address} ssl http2;\nssl_certificate server.pem;\n\
             ssl_certificate_key server.key;\nlocation / {{\nproxy_pass http://{gateway};\nproxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\n{location}\n}}\n}}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]);
        Self::start(address, folder, &mut command).await
    }

    /// Starts Caddy with TLS in front of `gateway`, with these lines for its site and for its proxy.
    pub async fn caddy(authority: &Authority, gateway: SocketAddr, site: &str, proxy: &str) -> Self {
        let (address, folder) = (reserve(), readable_folder());
        let Identity { chain_pem, key_pem, .. } = identity(authority, address);
        std::fs::write(folder.path().join("server.pem"), chain_pem).unwrap();
        std::fs::write(folder.path().join("server.key"), key_pem).unwrap();
        let config = format!(
            "{{\nadmin off\nauto_https disable_redirects\ndefault_bind {}\nservers {{\nprotocols h1 h2\n}}\n}}\nhttps://{address} {{\ntls server.pem server.key\n{site}\n\
             reverse_proxy {gateway} {{\n{proxy}\n}}\n}}\n",
            address.ip()
        );
        std::fs::write(folder.path().join("Caddyfile"), config).unwrap();
        let mut command = Command::new(installed("caddy"));
        command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
        command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        Self::start(address, folder, &mut command).await
    }

    /// Starts a proxy without TLS that compresses everything and flushes nothing.
    pub async fn compressing(gateway: SocketAddr) -> Self {
        let address = reserve();
        let mut command = node("producers");
        command.arg("compressing_proxy.mjs");
        for end in [address, gateway] {
            command.args([end.ip().to_string(), end.port().to_string()]);
        }
        Self::start(address, readable_folder(), &mut command).await
    }

    async fn start(address: SocketAddr, folder: TempDir, command: &mut Command) -> Self {
        if command.get_current_dir().is_none() {
            command.current_dir(folder.path());
        }
        command.env("PATH", server_path());
        let process = Process::start(&mut bound_to_this_process(command));
        process.wait_listening(address).await;
        Self { address, _process: process, _folder: folder }
    }

    /// Returns the URL of the stream `/prices` behind it.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/prices", self.address)
    }
}

/// Runs the doctor with these arguments, for as long as the readings of most tests need.
pub async fn examine(url: &str, authority: &Authority, arguments: &[&str]) -> Examined {
    let mut command = tokio::process::Command::from(Rillgate::command());
    command.args(["doctor", url, "--json", "--ca"]).arg(authority.file()).args(arguments);
    if !arguments.contains(&"--for") {
        command.args(["--for", "3s"]);
    }
    let output = command.env("RILLGATE_LOG", "warn").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within(DEADLINE + 2 * idle_limit() + Duration::from_secs(20), "report", output).await.unwrap();
    Examined {
        status: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Examined {
    /// Returns the kinds of the findings.
    ///
    /// # Panics
    /// Panics if the exit status says something else.
    #[track_caller]
    pub fn findings(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap_or_else(|| panic!("no report: {}", self.said));
        assert_eq!(self.status, Some(i32::from(!findings.is_empty())), "{}", self.report);
        findings.iter().filter_map(|finding| finding["kind"].as_str()).collect()
    }

    /// Returns the notes, which are no findings.
    pub fn notes(&self) -> Vec<&str> {
        self.report["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Returns what was seen of the only finding.
    #[track_caller]
    pub fn found(&self) -> &str {
        self.report["findings"][0]["found"].as_str().expect("a finding")
    }
}

/// Returns the idle limit of proxies: `RILLGATE_IDLE_SECONDS`, or a second.
pub fn idle_limit() -> Duration {
    let seconds = std::env::var("RILLGATE_IDLE_SECONDS").map_or(1, |seconds| seconds.parse().expect("whole seconds"));
    Duration::from_secs(seconds)
}

/// Returns the proxy that tests/run installs.
///
/// # Panics
/// Panics if it is not there.
pub fn installed(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/proxies/bin").join(name);
    assert!(program.exists(), "no {name}: tests/run installs {}", program.display());
    program
}

fn identity(authority: &Authority, address: SocketAddr) -> Identity {
    authority.server_for(&format!("proxy-{}", address.port()), &[&address.ip().to_string()])
}
