//! The state of the cluster's streams as JetStream reports it, for operators.

use async_nats::jetstream::stream::Info;
use bytes::Bytes;

use super::NatsEngine;
use crate::cluster::engine::EngineError;

/// One stream of the cluster in JetStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// The name.
    pub name: String,
    /// The number of messages.
    pub messages: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The number of subjects: of logs, gateways, or tickets and revocations.
    pub subjects: u64,
    /// The server that leads it. `None`: it has no leader, or the server stands alone.
    pub leader: Option<String>,
    /// The other servers that have it.
    pub replicas: Vec<ReplicaReport>,
}

/// A server that has a stream and does not lead it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaReport {
    /// The name of the server.
    pub server: String,
    /// True if it has what the leader has, or nearly so.
    pub is_current: bool,
    /// True if the leader does not reach it.
    pub is_offline: bool,
    /// The number of operations that it lacks.
    pub lag: u64,
}

impl NatsEngine {
    /// Returns what JetStream tells of the cluster's streams: the logs, the gateways, tickets and revocations.
    ///
    /// # Errors
    /// The engine did not answer, or refused.
    pub async fn report(&self) -> Result<Vec<StreamReport>, EngineError> {
        let client = self.requests.connected()?;
        let mut reports = Vec::new();
        for name in ["log", "nodes", "auth"].map(|kind| self.subjects.stream(kind)) {
            let asked = self.requests.api::<Info>(client, &format!("STREAM.INFO.{name}"), Bytes::new()).await;
            let info = asked.map_err(|failed| failed.into_error(&format!("look at the stream {name}")))?;
            let cluster = info.cluster.as_ref();
            reports.push(StreamReport {
                name,
                messages: info.state.messages,
                bytes: info.state.bytes,
                subjects: info.state.subjects_count,
                leader: cluster.and_then(|cluster| cluster.leader.clone()),
                replicas: cluster.map_or_else(Vec::new, |cluster| {
                    cluster
                        .replicas
                        .iter()
                        .map(|peer| ReplicaReport {
                            server: peer.name.clone(),
                            is_current: peer.current,
                            is_offline: peer.offline,
                            lag: peer.lag.unwrap_or(0),
                        })
                        .collect()
                }),
            });
        }
        Ok(reports)
    }
}
