//! `rillgate demo --cluster`: an engine, three gateways as processes of their own, and a balancer in front of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::Gateway;
use crate::config::Config;
use crate::demo::{ControlPage, DemoBalancer, DemoEngine, DemoGateways, GatewayLine, Producer, Spawn};
use crate::runtime::tasks::Tasks;
use serde_json::json;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

use super::files::{Configuration, DemoFolder, TOKEN_FILE, prepare};
use super::{Failure, Outcome, block_on, pages, print, serve};

/// The files of the gateways' configurations.
const CONFIG_FILES: [&str; 3] = ["gateway-1.toml", "gateway-2.toml", "gateway-3.toml"];

/// Runs the demo with the balancer on this port, until a signal.
pub(super) fn run(port: u16) -> Outcome {
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::Failed(format!("demo: {what}: {error}"));
    let folder = DemoFolder::new().map_err(|error| failed("cannot create a folder for the configuration", &error))?;
    block_on(async {
        let search = std::env::var_os("PATH");
        let engine = DemoEngine::start(search.as_deref(), &folder.0)
            .await
            .map_err(|error| Failure::Failed(format!("demo: {error}")))?;
        let tasks = Tasks::default();
        let spawn: Spawn = Arc::new(move |task| tasks.spawn("demo", task));
        let known = Arc::new(OnceLock::<Arc<DemoGateways>>::new());
        let producer = {
            let (known, spawn) = (known.clone(), spawn.clone());
            let status = move || json!({ "subscribers": known.get().map(|gateways| gateways.subscribers()) });
            Producer::start(Arc::new(status), move |task| spawn(task))
                .await
                .map_err(|error| failed("cannot start the producer", &error))?
        };
        let configurations = CONFIG_FILES.map(|file| Configuration {
            file,
            port: 0,
            producer: producer.address(),
            engine: Some(engine.url()),
        });
        let token = prepare(&folder, &configurations).map_err(|error| failed("cannot prepare", &error))?;
        let balancer = DemoBalancer::bind(port).await.map_err(|error| failed("cannot listen", &error))?;
        let url = format!("https://localhost:{}", balancer.address().port());
        let program = std::env::current_exe().map_err(|error| failed("cannot find this program", &error))?;
        let arguments = CONFIG_FILES.map(|file| {
            let file = folder.0.join(file);
            vec!["demo".into(), "--node".into(), file, "--page-url".into(), PathBuf::from(&url)]
        });
        let gateways = DemoGateways::start(&program, arguments.into(), &spawn);
        let _ = known.set(gateways.clone());
        balancer.serve(&gateways, &spawn);
        let outcome = serve_until_signalled(&gateways, &url, &token, spawn).await;
        gateways.stop();
        outcome
    })?
}

async fn serve_until_signalled(gateways: &Arc<DemoGateways>, url: &str, token: &str, spawn: Spawn) -> Outcome {
    let failed = |error: io::Error| Failure::Failed(format!("demo: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let control = ControlPage::start(gateways.clone(), url, spawn).await.map_err(failed)?;
    gateways.ready().await.map_err(failed)?;
    print(&format!(
        "Open {url}/ in a browser. The certificate is self-signed, so the browser will warn you.\n\
         Or read a stream in a terminal:\n\n  \
         curl -kN -H 'Authorization: Bearer {token}' {url}/prices/EURUSD\n\n\
         The gateways, and a button that kills the owner: http://{}/\n\
         Press Ctrl-C to stop.\n",
        control.address()
    ))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Runs one of the gateways until a signal, or until standard input is closed because the demo has ended.
pub(super) fn run_gateway(config: &Path, url: &str) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("demo: cannot start a gateway: {error}"));
    let token = config.with_file_name(TOKEN_FILE);
    let token = std::fs::read_to_string(&token).map_err(|error| failed(&error))?;
    let config = Config::load(config).map_err(|problems| Failure::Config(problems.to_string()))?;
    block_on(async {
        let gateway = Gateway::bind(&config).map_err(|error| failed(&error))?;
        let admin = gateway.admin_address().ok_or_else(|| failed(&"the admin port is missing"))?;
        let line = GatewayLine { address: gateway.addresses()[0], admin };
        gateway.serve_pages(pages(url, &token, false).map_err(|error| failed(&error))?);
        let demo = DemoPipe::of_standard_input().map_err(|error| failed(&error))?;
        print(&serde_json::to_string(&line).map_err(|error| failed(&error))?)?;
        tokio::select! {
            outcome = serve::until_signalled(gateway, None) => outcome,
            () = demo.closed() => Ok(()),
        }
    })?
}

/// The pipe from the demo to one of its gateways. Nothing is ever written to it.
struct DemoPipe(pipe::Receiver);

impl DemoPipe {
    fn of_standard_input() -> io::Result<Self> {
        use std::os::fd::AsFd;
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(pipe::Receiver::from_owned_fd(input)?))
    }

    /// Completes when the demo has ended.
    async fn closed(&self) {
        let mut byte = [0];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut byte) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}
