//! The engine: nats-servers on loopback addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::{free_port, on_all_cores};
use crate::{Outcome, process, server};

/// Running servers that form one engine.
pub struct Engine {
    servers: Vec<Child>,
    urls: Vec<String>,
    folder: PathBuf,
}

/// Returns the program: what `RILLGATE_NATS_SERVER` names, one on the path, or the one that the tests use.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("RILLGATE_NATS_SERVER").map(PathBuf::from);
    let of_tests = || Some(PathBuf::from("target/tools/nats-2.15.1/bin/nats-server")).filter(|file| file.is_file());
    named.or_else(|| server::find("nats-server")).or_else(of_tests)
}

impl Engine {
    /// Starts the servers and waits until they listen. A port that was free may be taken meanwhile, so others are tried.
    pub fn start(program: &Path, count: usize, folder: &Path) -> Outcome<Self> {
        let start = || Self::start_at_free_ports(program, count, folder);
        start().or_else(|_| start()).or_else(|_| start())
    }

    fn start_at_free_ports(program: &Path, count: usize, folder: &Path) -> Outcome<Self> {
        let folder = folder.join("engine");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let (port, routes) = (free_port()?, free_port()?);
        let host = |index: usize| format!("127.0.0.{}", 11 + index);
        let route_urls: Vec<_> = (0..count).map(|index| format!("\"nats://{}:{routes}\"", host(index))).collect();
        let mut engine = Self { servers: Vec::new(), urls: Vec::new(), folder: folder.clone() };
        for index in 0..count {
            let file = folder.join(format!("{index}.conf"));
            let store = folder.join(format!("store-{index}"));
            let mut text = format!(
                "server_name: n{index}\nlisten: \"{}:{port}\"\njetstream {{ store_dir: \"{}\" }}\n",
                host(index),
                store.display()
            );
            if count > 1 {
                text.push_str(&format!(
                    "cluster {{ name: bench, listen: \"{}:{routes}\", routes: [{}] }}\n",
                    host(index),
                    route_urls.join(", ")
                ));
            }
            fs::write(&file, text)?;
            let log = fs::File::create(folder.join(format!("{index}.log")))?;
            engine.servers.push(
                on_all_cores(program)
                    .arg("-c")
                    .arg(file)
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()?,
            );
            engine.urls.push(format!("nats://{}:{port}", host(index)));
        }
        for url in &engine.urls {
            server::wait_for(url.trim_start_matches("nats://").parse()?)?;
        }
        Ok(engine)
    }

    /// Returns the processes.
    pub fn processes(&self) -> Vec<u32> {
        self.servers.iter().map(Child::id).collect()
    }

    /// Returns the addresses of the servers.
    pub fn urls(&self) -> Vec<String> {
        self.urls.clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.servers.iter_mut().for_each(process::stop);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
