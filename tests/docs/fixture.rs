//! The surroundings of the pages' commands: a running gateway with its files, and a Prometheus for pages that query it.
//!
//! The pages use the ports 8443, 9464 and 9090. Here the system chooses ports, and the commands get those.

use std::path::Path;

use tempfile::TempDir;

use super::root;
use crate::support::certificates::Authority;
use crate::support::origin::{Emission, Origin};
use crate::support::prometheus::Prometheus;
use crate::support::script::Answer;
use crate::support::server::Rillgate;

/// The surroundings of one page's commands.
pub struct DocsFixture {
    pub folder: TempDir,
    pub token: String,
    gateway: Rillgate,
    prometheus: Option<Prometheus>,
    producing: tokio::task::JoinHandle<()>,
    _authority: Authority,
}

impl DocsFixture {
    /// Starts a gateway in front of a producer with a history of 100 events that sends ten more a second.
    pub async fn new(asks_prometheus: bool) -> Self {
        let authority = Authority::new();
        let identity = authority.server();
        let origin = Origin::start().await;
        origin.answer(|request| {
            if request.target.starts_with("/gone/") {
                return Answer::status(404);
            }
            (1..=100).fold(Answer::stream(), |answer, number| answer.then(event(number)))
        });
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("hmac.key"), [7; 32]).unwrap();
        std::fs::write(file("server.pem"), &identity.chain_pem).unwrap();
        std::fs::write(file("server.key"), &identity.key_pem).unwrap();
        std::fs::copy(authority.file(), file("ca.pem")).unwrap();
        for shared in ["deploy", "docs", "config"] {
            std::os::unix::fs::symlink(root().join(shared), file(shared)).unwrap();
        }
        std::fs::create_dir(file("certs")).unwrap();
        std::fs::copy(root().join("certs/generate.sh"), file("certs/generate.sh")).unwrap();
        let config = config(folder.path(), &origin.url());
        std::fs::write(file("rillgate.toml"), &config).unwrap();

        let gateway = Rillgate::start(&config).await;
        let prometheus = if asks_prometheus { Some(Prometheus::scraping(gateway.admin()).await) } else { None };
        let producing = tokio::spawn(async move {
            for number in 101.. {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                origin.emit(Emission::from(event(number)));
            }
        });
        let token = mint(folder.path());
        Self { folder, token, gateway, prometheus, producing, _authority: authority }
    }

    /// Replaces the ports in a page's commands with this fixture's.
    pub fn translate(&self, commands: &str) -> String {
        let (port, admin) = (self.gateway.address().port(), self.gateway.admin());
        let mut commands = commands.replace("localhost:8443", &format!("localhost:{port}"));
        for name in ["127.0.0.1:9464", "localhost:9464"] {
            commands = commands.replace(name, &admin.to_string());
        }
        if let Some(prometheus) = &self.prometheus {
            commands = commands.replace("127.0.0.1:9090", &prometheus.address().to_string());
        }
        commands
    }
}

impl Drop for DocsFixture {
    fn drop(&mut self) {
        self.producing.abort();
    }
}

fn event(number: usize) -> String {
    format!("id: {number}\nevent: price\ndata: {{\"number\":{number}}}\n\n")
}

/// Returns the configuration of docs/README.md.
fn config(folder: &Path, origin: &str) -> String {
    let folder = folder.display();
    format!(
        r#"
[[listeners]]
name = "public"
address = "127.0.0.1:0"
tls = {{ certificates = [{{ chain = "{folder}/server.pem", key = "{folder}/server.key" }}] }}

[admin]
address = "127.0.0.1:0"

[limits]
connections_per_ip = 100

[issuers.main]
issuer = "https://id.example.com/"
audience = ["rillgate"]
keys = [{{ secret = {{ file = "{folder}/hmac.key" }}, algorithm = "HS256" }}]

[upstreams.origin]
urls = ["{origin}"]

[[routes]]
name = "prices"
path = "/prices/{{symbol}}"
upstream = "origin"
auth = {{ issuers = ["main"], streams_claim = "streams" }}

[[routes]]
name = "news"
path = "/news/{{topic}}"
upstream = "origin"
auth = "public"

[[routes]]
name = "gone"
path = "/gone/{{name}}"
upstream = "origin"
auth = "public"
"#
    )
}

fn mint(folder: &Path) -> String {
    let output = Rillgate::command()
        .args(["token", "--key"])
        .arg(folder.join("hmac.key"))
        .args(["--issuer", "https://id.example.com/", "--audience", "rillgate", "--subject", "reader"])
        .args(["--claim", "streams=[\"/prices/EURUSD\"]"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
