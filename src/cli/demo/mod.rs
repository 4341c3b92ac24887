//! `rillgate demo`: a producer, a gateway in front of it, and a page to look at, in one process.
//!
//! The gateway is an ordinary one. Its configuration is written to a folder of its own, with a certificate, a secret
//! and a token made for this run, and read from there. The folder is removed at the end.

mod cluster;
mod files;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::config::Config;
use crate::demo::{self, Producer};
use crate::runtime::tasks::Tasks;
use crate::{Gateway, Handle, StaticPage};
use clap::Args;
use files::{Configuration, DemoFolder, prepare};
use serde_json::{Value, json};

use super::{Failure, Outcome, block_on, print, serve};

/// The options of the demo.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The port on 127.0.0.1 where the gateway listens. 0: a free port.
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Run three gateways that share their streams, and a page that kills the owner. Needs nats-server 2.11 or later on
    /// the PATH.
    #[arg(long)]
    cluster: bool,
    /// Run one of the three gateways with this configuration.
    #[arg(long, value_name = "FILE", hide = true, requires = "page_url")]
    node: Option<PathBuf>,
    /// The address under which clients see that gateway.
    #[arg(long, value_name = "URL", hide = true)]
    page_url: Option<String>,
}

impl Demo {
    pub(super) fn run(self) -> Outcome {
        let failed = |what: &str, error: &dyn std::fmt::Display| Failure::Failed(format!("demo: {what}: {error}"));
        crate::auth::install_provider();
        match (self.node, self.page_url) {
            (Some(config), Some(url)) => return cluster::run_gateway(&config, &url),
            _ if self.cluster => return cluster::run(self.port),
            _ => {}
        }
        let folder =
            DemoFolder::new().map_err(|error| failed("cannot create a folder for the configuration", &error))?;
        block_on(async {
            let gateway_handle = Arc::new(OnceLock::new());
            let producer = {
                let (tasks, handle) = (Tasks::default(), gateway_handle.clone());
                let status = Arc::new(move || status(handle.get()));
                Producer::start(status, move |task| tasks.spawn("producer", task))
                    .await
                    .map_err(|error| failed("cannot start the producer", &error))?
            };
            let configuration =
                Configuration { file: CONFIG_FILE, port: self.port, producer: producer.address(), engine: None };
            let token = prepare(&folder, &[configuration]).map_err(|error| failed("cannot prepare", &error))?;
            let config =
                Config::load(&folder.0.join(CONFIG_FILE)).map_err(|problems| Failure::Config(problems.to_string()))?;
            let gateway = Gateway::bind(&config).map_err(|error| failed("cannot start", &error))?;
            let address = gateway.addresses()[0];
            let url = format!("https://localhost:{}", address.port());
            let pages = pages(&url, &token, true).map_err(|error| failed("cannot build the page", &error))?;
            gateway.serve_pages(pages);
            let _ = gateway_handle.set(gateway.handle());
            let admin =
                gateway.admin_address().ok_or_else(|| Failure::Failed("demo: the admin port is missing".to_owned()))?;
            print_introduction(&url, admin, &token, &folder.0.join(CONFIG_FILE))?;
            serve::until_signalled(gateway, None).await
        })?
    }
}

/// The name of the file with the configuration.
const CONFIG_FILE: &str = "rillgate.toml";

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

fn pages(url: &str, token: &str, takes_prompts: bool) -> Result<Vec<StaticPage>, http::header::InvalidHeaderValue> {
    // The command on the page gets its token from a cookie, as a browser does: scripts of the page must not see a
    // token.
    let curl = format!("curl -sk -c jar -o /dev/null {url}/ && curl -kN -b jar {url}/prices/EURUSD");
    let pages = demo::pages(&curl, token, takes_prompts)?.into_iter().map(|page| {
        let mut headers = page.headers;
        headers.push((http::header::CONTENT_TYPE, http::HeaderValue::from_static(page.content_type)));
        StaticPage { path: page.path, headers, body: page.body }
    });
    Ok(pages.collect())
}

/// Returns the JSON that the producer's `/status` stream sends: the subscribers of each stream.
fn status(handle: Option<&Handle>) -> Value {
    let mut subscribers = BTreeMap::<String, usize>::new();
    for stream in handle.map(|handle| handle.streams().list()).unwrap_or_default() {
        if stream.key().path != "/status" {
            // Each answer is a stream of its own.
            *subscribers.entry(stream.key().path.clone()).or_default() += stream.subscribers();
        }
    }
    json!({ "subscribers": subscribers })
}
