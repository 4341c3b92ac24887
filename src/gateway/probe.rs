//! Tries once what a configuration names on the network: addresses of upstreams, keys of issuers, the cluster's engine.
//!
//! Opens no stream and serves nobody. Every attempt is bounded, and all are made at the same time.

use std::time::Duration;

use super::build::{BuildError, Parts};
use super::run::Gateway;
use crate::cluster::ClusterSettings;
use crate::config::Config;
use futures_util::future::join_all;

/// Something on the network that a configuration names, and whether it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The name of the target: `upstream prices: http://127.0.0.1:9000`.
    pub target: String,
    /// The finding, or the reason why it was not reached. Without secrets.
    pub outcome: Result<String, String>,
}

impl Gateway {
    /// Tries everything on the network that the configuration names. Ends within about fifteen seconds.
    ///
    /// With `cluster.manage`, the engine's streams are made, as at a start.
    ///
    /// # Errors
    /// A part of the configuration is invalid.
    pub async fn probe(config: &Config) -> Result<Vec<Probe>, BuildError> {
        let parts = Parts::build(config)?;
        let (upstreams, issuers, engine) =
            tokio::join!(upstreams(config, &parts), issuers(&parts), probe_engine(config));
        Ok(upstreams.into_iter().chain(issuers).chain(engine).collect())
    }
}

async fn upstreams(config: &Config, parts: &Parts) -> Vec<Probe> {
    let probes = config.upstreams.values().map(async |upstream| {
        let probe = |(url, outcome): (String, Result<(), String>)| Probe {
            target: format!("upstream {}: {url}", upstream.name),
            outcome: outcome.map(|()| "reached".to_owned()),
        };
        upstream.probe(&parts.connects, CONNECT_TIMEOUT).await.into_iter().map(probe).collect::<Vec<_>>()
    });
    join_all(probes).await.into_iter().flatten().collect()
}

async fn issuers(parts: &Parts) -> Vec<Probe> {
    let found = parts.refresher.probe().await;
    let probe = |(target, found): (String, Result<usize, String>)| Probe {
        target,
        outcome: found.map(|keys| format!("{keys} key{}", if keys == 1 { "" } else { "s" })),
    };
    found.into_iter().map(probe).collect()
}

/// Tries to connect to the engine that the configuration names. `None`: it names none.
async fn probe_engine(config: &Config) -> Option<Probe> {
    let settings = config.cluster.clone()?;
    let urls: Vec<_> = settings.urls.iter().map(ToString::to_string).collect();
    let target = format!("cluster {}: {}", settings.name, urls.join(", "));
    Some(Probe { target, outcome: probed(settings).await })
}

#[cfg(feature = "cluster")]
async fn probed(settings: ClusterSettings) -> Result<String, String> {
    let reached =
        super::engine_client::with_engine(settings, async |engine| Ok(engine.server().unwrap_or_default())).await;
    reached.map(|server| format!("connected to {server}")).map_err(|error| error.to_string())
}

#[cfg(not(feature = "cluster"))]
async fn probed(_: ClusterSettings) -> Result<String, String> {
    Err("this rillgate was built without the feature `cluster`".to_owned())
}

/// The longest wait for one upstream. Its own timeouts may be minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
