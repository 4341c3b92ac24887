//! The configurations of `deploy/proxies`, each as its program reads it in a test.
//!
//! Always true: the text is the file's, with only the addresses, paths and sizes of a test in place of its own; a place that
//! the file no longer has fails the test.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// A configuration in `deploy/proxies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    Nginx,
    HaproxyHttp,
    HaproxyTcp,
    Caddy,
    Envoy,
}

/// The addresses that a configuration names.
pub struct Addresses {
    /// The address where the proxy listens.
    pub public: SocketAddr,
    /// The address of the proxy's own admin port, where it has one.
    pub proxy_admin: SocketAddr,
    /// The addresses of the two gateways, which have the same ports.
    pub gateways: [IpAddr; 2],
    pub port: u16,
    pub admin_port: u16,
}

impl Recipe {
    /// Returns the name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::HaproxyHttp => "haproxy-http.cfg",
            Self::HaproxyTcp => "haproxy-tcp.cfg",
            Self::Caddy => "Caddyfile",
            Self::Envoy => "envoy.yaml",
        }
    }

    /// Whether the gateways do the handshakes, and the proxy reads no HTTP.
    pub fn is_tcp(self) -> bool {
        self == Self::HaproxyTcp
    }

    /// Returns the line of the listener that names the source of the client's address.
    pub fn client_address(self) -> &'static str {
        match self {
            Self::HaproxyTcp => "client_address = \"proxy-protocol\"",
            Self::Nginx | Self::HaproxyHttp | Self::Caddy | Self::Envoy => "client_address = \"x-forwarded-for\"",
        }
    }

    /// Returns the configuration for these addresses, with certificates in `folder`: `server.pem`, `server.key`, and both of
    /// them in `both.pem`.
    pub fn text(self, addresses: &Addresses, folder: &Path) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies").join(self.file());
        let mut text = std::fs::read_to_string(file).unwrap();
        let Addresses { public, proxy_admin, gateways: [one, two], port, admin_port } = addresses;
        let path = |name: &str| folder.join(name).display().to_string();
        let gateway_port = if self.is_tcp() { "8443" } else { "8080" };
        let mut replace = |from: &str, to: &str| text = replaced(&text, from, to);

        replace("10.0.0.11", &one.to_string());
        replace("10.0.0.12", &two.to_string());
        replace(gateway_port, &port.to_string());
        match self {
            Self::Nginx => {
                replace("listen 443", &format!("listen {public}"));
                replace("/run/nginx.pid", &path("nginx.pid"));
                replace("worker_rlimit_nofile 262144;", "");
                replace("worker_connections 65536", "worker_connections 512");
                replace("worker_processes auto", "worker_processes 1");
                // Where a user may write, and tests do not meet.
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let paths = temporary.map(|name| format!("{name}_temp_path {};\n", path(name))).concat();
                replace("\nhttp {\n", &format!("\nhttp {{\naccess_log off;\n{paths}"));
            }
            Self::HaproxyHttp | Self::HaproxyTcp => {
                replace("bind :443", &format!("bind {public}"));
                replace("maxconn 50000", "maxconn 500");
                replace("port 9464", &format!("port {admin_port}"));
                if self == Self::HaproxyHttp {
                    replace("/etc/ssl/private/stream.example.com.pem", &path("both.pem"));
                }
            }
            Self::Caddy => {
                replace("\nstream.example.com {", &format!("\nhttps://{public} {{"));
                // Without a listener at port 80, nor at further addresses.
                let alone = format!("default_bind {}\n\tauto_https disable_redirects", public.ip());
                replace("admin localhost:2019", &format!("admin unix/{}\n\t{alone}", path("admin.sock")));
                replace("health_port 9464", &format!("health_port {admin_port}"));
            }
            Self::Envoy => {
                let address = |of: &SocketAddr| format!("address: {}, port_value: {} }}", of.ip(), of.port());
                replace("address: 0.0.0.0, port_value: 443 }", &address(public));
                replace("address: 127.0.0.1, port_value: 9901 }", &address(proxy_admin));
                replace("port_value: 9464", &format!("port_value: {admin_port}"));
            }
        }
        match self {
            Self::Nginx | Self::Caddy | Self::Envoy => {
                replace("/etc/ssl/stream.example.com.pem", &path("server.pem"));
                replace("/etc/ssl/private/stream.example.com.key", &path("server.key"));
            }
            Self::HaproxyHttp | Self::HaproxyTcp => {}
        }
        text
    }

    /// Gives a configuration these idle limits, in whole seconds.
    pub fn with_idle_limits(text: &str, limit: Duration) -> String {
        replaced(text, "60s", &format!("{}s", limit.as_secs()))
    }

    /// Makes the health checks of a configuration ten in a second, where it has any.
    pub fn with_frequent_health_checks(self, text: &str) -> String {
        match self {
            Self::Nginx => text.to_owned(),
            Self::HaproxyHttp | Self::HaproxyTcp => replaced(text, "inter 1s", "inter 100ms"),
            Self::Caddy => replaced(text, "health_interval 1s", "health_interval 100ms"),
            Self::Envoy => replaced(text, "interval: 1s", "interval: 0.1s"),
        }
    }

    /// Ends the streams of before a reload a second after it. Envoy has an argument for it, and Caddy nothing.
    pub fn with_a_limit_after_reloads(self, text: &str) -> String {
        let lines = match self {
            Self::Nginx => ("# worker_shutdown_timeout 1h", "worker_shutdown_timeout 1s"),
            Self::HaproxyHttp | Self::HaproxyTcp => ("# hard-stop-after 1h", "hard-stop-after 1s"),
            Self::Caddy | Self::Envoy => return text.to_owned(),
        };
        replaced(text, lines.0, lines.1)
    }
}

/// Replaces what must be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no `{from}` in\n{text}");
    text.replace(from, to)
}
