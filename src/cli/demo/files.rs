//! The files of the demo: a folder of its own with configurations, a certificate, a secret and a token.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::auth::mint::{SigningKey, TokenSpec, mint};
use crate::demo::{self, Certificate};
use serde_json::Map;

const ISSUER: &str = "https://demo.rillgate.invalid/";
const AUDIENCE: &str = "rillgate-demo";
const TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);

/// The name of the file with the token.
pub(super) const TOKEN_FILE: &str = "token";

/// Writes the configuration and all files that it names. Returns the token.
pub(super) fn prepare(
    folder: &DemoFolder,
    configurations: &[Configuration],
) -> Result<String, Box<dyn std::error::Error>> {
    let certificate = Certificate::for_localhost(SystemTime::now())?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let mut cluster_key = [0; 32];
    getrandom::fill(&mut cluster_key)?;
    folder.write("chain.pem", certificate.chain.as_bytes())?;
    folder.write("key.pem", certificate.key.as_bytes())?;
    folder.write("secret", &secret)?;
    folder.write("cluster.key", &cluster_key)?;
    for configuration in configurations {
        folder.write(configuration.file, configuration.text().as_bytes())?;
    }
    let spec = TokenSpec {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        subject: Some("visitor".to_owned()),
        ttl: TOKEN_TTL,
        claims: Map::new(),
        kid: None,
        typ: None,
    };
    let token = mint(&SigningKey::read(&secret, None)?, &spec, SystemTime::now())?;
    folder.write(TOKEN_FILE, token.as_bytes())?;
    Ok(token)
}

/// One gateway's configuration.
pub(super) struct Configuration<'c> {
    /// The name of its file.
    pub(super) file: &'static str,
    /// The port for clients. 0: a free one.
    pub(super) port: u16,
    /// The producer's address.
    pub(super) producer: SocketAddr,
    /// The engine's address, if gateways share their streams.
    pub(super) engine: Option<&'c str>,
}

impl Configuration<'_> {
    fn text(&self) -> String {
        let (port, store) = (self.port, if self.engine.is_some() { "cluster" } else { "memory" });
        let mut text = format!(
            r#"# Written by `rillgate demo`; removed when it ends.
[limits]
connections = 1000
subscribers = 2000
streams = 100
# The page's clients are all the same visitor.
subscriptions_per_subject = 1000

[admin]
address = "127.0.0.1:0"

[[listeners]]
name = "demo"
address = "127.0.0.1:{port}"
tls = {{ certificates = [{{ chain = "chain.pem", key = "key.pem" }}] }}

[issuers.demo]
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
keys = [{{ secret = {{ file = "secret" }}, algorithm = "HS256" }}]

[upstreams.producer]
urls = ["http://{}"]
"#,
            self.producer
        );
        if let Some(engine) = self.engine {
            text += &format!(
                r#"
[cluster]
urls = ["{engine}"]
key = {{ file = "cluster.key" }}
lease = "1s"
replicas = 1
"#
            );
        }
        let routes = [
            ("prices", "/prices/{symbol}", "on-demand", "live"),
            ("trades", "/trades", "always", "last:60"),
            ("deploys", "/deploys", "always", "last:8"),
            ("tokens", "/tokens", "always", "live"),
            ("status", "/status", "on-demand", "live"),
        ];
        for (name, path, open, start) in routes {
            // Each gateway has a status of its own.
            let store = if name == "status" { "memory" } else { store };
            text += &format!(
                r#"
[[routes]]
name = "{name}"
path = "{path}"
upstream = "producer"
open = "{open}"
auth = {{ issuers = ["demo"], token_from = ["header", "cookie:{}"] }}
replay = {{ start = "{start}", verdict = "event", store = "{store}" }}
"#,
                demo::COOKIE
            );
        }
        if self.engine.is_none() {
            text += &format!(
                r#"
[[routes]]
name = "answers"
path = "/answers"
upstream = "producer"
auth = {{ issuers = ["demo"], token_from = ["header", "cookie:{}"] }}
post = {{ key = "body" }}
replay = {{ verdict = "event" }}
"#,
                demo::COOKIE
            );
        }
        text
    }
}

/// A folder that only this user can read. Removed when dropped.
pub(super) struct DemoFolder(pub(super) PathBuf);

impl DemoFolder {
    /// Creates a folder with a random name.
    pub(super) fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("rillgate-demo-{random:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        std::fs::write(self.0.join(name), content)
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system's cleaner of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
