//! The state of a cluster, asked of its engine by a process that is not one of its gateways.
//!
//! Joins nothing and changes nothing. Beats have no time, so gateways are listened to for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use super::run::Gateway;
use crate::cluster::ClusterSettings;
use crate::config::Config;

/// The state of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    /// The name of the cluster.
    pub name: String,
    /// The name and version of the server that answered.
    pub server: String,
    /// The gateways, by node id.
    pub nodes: BTreeMap<String, NodeStatus>,
    /// The number of gateways whose beats were signed with another key.
    pub foreign: usize,
    /// The engine's report on its streams, one line each.
    pub engine: Vec<String>,
}

/// A gateway of a cluster.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The name of its host.
    pub host: String,
    /// The time since its last beat. `None`: it was silent while the status was taken.
    pub heard_ago: Option<Duration>,
    /// The number of streams that it owns.
    pub owned: u64,
    /// The number of streams that it follows.
    pub followed: u64,
    /// The number of followed streams that lack a record of which it has heard.
    pub behind: u64,
}

impl Gateway {
    /// Asks the engine for the state of the cluster that the configuration names. `None`: it names none. Takes most
    /// of a lease, at most fifteen seconds, and ten more if the engine does not answer.
    ///
    /// # Errors
    /// The reason why the engine cannot be asked.
    pub async fn cluster_status(config: &Config) -> Option<Result<ClusterStatus, String>> {
        let settings = config.cluster.clone()?;
        Some(status(settings).await)
    }
}

#[cfg(not(feature = "cluster"))]
async fn status(_: ClusterSettings) -> Result<ClusterStatus, String> {
    Err("this rillgate was built without the feature `cluster`".to_owned())
}

#[cfg(feature = "cluster")]
async fn status(settings: ClusterSettings) -> Result<ClusterStatus, String> {
    // It only looks.
    let settings = ClusterSettings { is_managed: false, ..settings };
    let lease = settings.lease;
    let name = settings.name.to_string();
    let keys = crate::cluster::ClusterKeys::new(&settings.keys);
    super::engine_client::with_engine(settings, async |engine| {
        let (nodes, foreign) = listen(engine, &keys, (lease / 2 + lease / 4).min(LISTENING_TIMEOUT)).await?;
        let reports = engine.report().await?;
        let server = engine.server().unwrap_or_default();
        Ok(ClusterStatus { name, server, nodes, foreign, engine: reports.iter().map(describe_store).collect() })
    })
    .await
    .map_err(|error| error.to_string())
}

/// Returns the gateways that have stored a beat, each with the time since one was heard.
#[cfg(feature = "cluster")]
async fn listen(
    engine: &crate::cluster::NatsEngine,
    keys: &crate::cluster::ClusterKeys,
    period: Duration,
) -> Result<(BTreeMap<String, NodeStatus>, usize), crate::cluster::EngineError> {
    use futures_util::StreamExt as _;
    use tokio::time::Instant;

    use crate::cluster::{Beat, Engine as _, StreamCounts};

    let mut live = engine.live_beats().await?;
    let mut heard: BTreeMap<String, Instant> = BTreeMap::new();
    let end = Instant::now() + period;
    while let Ok(Some((node, _))) = tokio::time::timeout_at(end, live.next()).await {
        heard.insert(node, Instant::now());
    }
    let stored = engine.beats().await?;
    let (mut nodes, mut foreign) = (BTreeMap::new(), 0);
    for (node, beat) in stored {
        match Beat::decode(keys, &node, &beat) {
            Some(beat) => {
                let heard_ago = heard.get(&node).map(Instant::elapsed);
                let StreamCounts { owned, followed, behind } = beat.streams;
                nodes.insert(node, NodeStatus { host: beat.host, heard_ago, owned, followed, behind });
            }
            None => foreign += 1,
        }
    }
    Ok((nodes, foreign))
}

#[cfg(feature = "cluster")]
fn describe_store(report: &crate::cluster::StreamReport) -> String {
    let mut line = format!(
        "{}: {} subjects, {} messages, {} KiB",
        report.name,
        report.subjects,
        report.messages,
        report.bytes.div_ceil(1024)
    );
    match &report.leader {
        Some(leader) => line.push_str(&format!(", leader {leader}")),
        None => line.push_str(", no replicas"),
    }
    for replica in &report.replicas {
        let state = match (replica.is_offline, replica.is_current) {
            (true, _) => "offline".to_owned(),
            (false, true) => "current".to_owned(),
            (false, false) => "behind".to_owned(),
        };
        let lag = if replica.lag > 0 { format!(", lacks {}", replica.lag) } else { String::new() };
        line.push_str(&format!("; {} {state}{lag}", replica.server));
    }
    line
}

/// The longest time for which beats are listened to.
#[cfg(feature = "cluster")]
const LISTENING_TIMEOUT: Duration = Duration::from_secs(15);
