//! `rillgate demo`: a producer, a gateway in front of it, and a page to look at, in one process.
//!
//! The gateway is an ordinary one. Its configuration is written to a folder of its own, with a certificate, a secret
//! and a token made for this run, and read from there. The folder is removed at the end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use clap::Args;
use rillgate::auth::mint::{SigningKey, TokenSpec, mint};
use rillgate::config::Config;
use rillgate::demo::{self, Certificate, Producer};
use rillgate::runtime::tasks::Tasks;
use rillgate::{Gateway, Handle, StaticPage};
use serde_json::{Map, Value, json};

use super::{Failure, Outcome, block_on, print, serve};

/// The options of the demo.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The port on 127.0.0.1 where the gateway listens. 0: a free port.
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

const ISSUER: &str = "https://demo.rillgate.invalid/";
const AUDIENCE: &str = "rillgate-demo";
const TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);

impl Demo {
    pub(super) fn run(self) -> Outcome {
        let failed = |what: &str, error: &dyn std::fmt::Display| Failure::Failed(format!("demo: {what}: {error}"));
        rillgate::auth::install_provider();
        let folder = Folder::new().map_err(|error| failed("cannot create a folder for the configuration", &error))?;
        block_on(async {
            let gateway_handle = Arc::new(OnceLock::new());
            let producer = {
                let (tasks, handle) = (Tasks::default(), gateway_handle.clone());
                let status = Arc::new(move || status(handle.get()));
                Producer::start(status, move |task| tasks.spawn("producer", task))
                    .await
                    .map_err(|error| failed("cannot start the producer", &error))?
            };
            let token = prepare(&folder, self.port, &producer).map_err(|error| failed("cannot prepare", &error))?;
            let config = Config::load(&folder.0.join("rillgate.toml"))
                .map_err(|problems| Failure::Config(problems.to_string()))?;
            let gateway = Gateway::bind(&config).map_err(|error| failed("cannot start", &error))?;
            let address = gateway.addresses()[0];
            let url = format!("https://localhost:{}", address.port());
            let pages = pages(&url, &token).map_err(|error| failed("cannot build the page", &error))?;
            gateway.serve_pages(pages);
            let _ = gateway_handle.set(gateway.handle());
            let admin =
                gateway.admin_address().ok_or_else(|| Failure::Failed("demo: the admin port is missing".to_owned()))?;
            print_introduction(&url, admin, &token, &folder.0.join("rillgate.toml"))?;
            serve::until_signalled(gateway, None).await
        })?
    }
}

fn print_introduction(url: &str, admin: SocketAddr, token: &str, config: &Path) -> Outcome {
    print(&format!(
        "Open {url}/ in a browser. The certificate is self-signed, so the browser will warn you.\n\
         Or read a stream in a terminal:\n\n  \
         curl -kN -H 'Authorization: Bearer {token}' {url}/prices/EURUSD\n\n\
         Admin port: http://{admin}/ (metrics at http://{admin}/metrics)\n\
         The gateway's configuration: {}\n\
         Press Ctrl-C to stop.\n",
        config.display()
    ))
}

fn pages(url: &str, token: &str) -> Result<Vec<StaticPage>, http::header::InvalidHeaderValue> {
    // The command on the page gets its token from a cookie, as a browser does: scripts of the page must not see a
    // token.
    let curl = format!("curl -sk -c jar -o /dev/null {url}/ && curl -kN -b jar {url}/prices/EURUSD");
    let pages = demo::pages(&curl, token)?.into_iter().map(|page| {
        let mut headers = page.headers;
        headers.push((http::header::CONTENT_TYPE, http::HeaderValue::from_static(page.content_type)));
        StaticPage { path: page.path, headers, body: page.body }
    });
    Ok(pages.collect())
}

/// Returns the JSON that the producer's `/status` stream sends: the subscribers of each stream.
fn status(handle: Option<&Handle>) -> Value {
    let mut subscribers = Map::new();
    for stream in handle.map(|handle| handle.streams().list()).unwrap_or_default() {
        if stream.key().path != "/status" {
            subscribers.insert(stream.key().path.clone(), stream.subscribers().into());
        }
    }
    json!({ "subscribers": subscribers })
}

/// Writes the configuration and all files that it names. Returns the token.
fn prepare(folder: &Folder, port: u16, producer: &Producer) -> Result<String, Box<dyn std::error::Error>> {
    let certificate = Certificate::for_localhost(SystemTime::now())?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    folder.write("chain.pem", certificate.chain.as_bytes())?;
    folder.write("key.pem", certificate.key.as_bytes())?;
    folder.write("secret", &secret)?;
    folder.write("rillgate.toml", configuration(port, producer).as_bytes())?;
    let spec = TokenSpec {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        subject: Some("visitor".to_owned()),
        ttl: TOKEN_TTL,
        claims: Map::new(),
        kid: None,
        typ: None,
    };
    Ok(mint(&SigningKey::read(&secret, None)?, &spec, SystemTime::now())?)
}

fn configuration(port: u16, producer: &Producer) -> String {
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
        producer.address()
    );
    let routes = [
        ("prices", "/prices/{symbol}", "on-demand", "live"),
        ("trades", "/trades", "always", "last:60"),
        ("deploys", "/deploys", "always", "last:8"),
        ("tokens", "/tokens", "always", "live"),
        ("status", "/status", "on-demand", "live"),
    ];
    for (name, path, open, start) in routes {
        text += &format!(
            r#"
[[routes]]
name = "{name}"
path = "{path}"
upstream = "producer"
open = "{open}"
auth = {{ issuers = ["demo"], token_from = ["header", "cookie:{}"] }}
replay = {{ start = "{start}", verdict = "event" }}
"#,
            demo::COOKIE
        );
    }
    text
}

/// A folder that only this user can read. Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
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

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system's cleaner of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
