//! A gateway's tickets and revocations without the gateway around them.

use std::sync::Arc;
use std::time::SystemTime;

use rillgate::auth::{ChangeSignal, Reach, RestoreError, Revocation, RevocationId, Revocations, revocation_from_json};
use rillgate::cluster::{ClusterKeys, ClusterRevocations, ClusterSettings, ClusterTickets};
use tokio::task::JoinHandle;

use crate::engine::fixture::{Running, settings};
use crate::support::nats::ELECTION;
use crate::support::wait::{DEADLINE, eventually, within};

/// What a gateway has of tickets and revocations. Ends when it is dropped.
pub struct Member {
    pub running: Running,
    pub tickets: ClusterTickets,
    pub table: Revocations,
    pub cluster: ClusterRevocations,
    task: JoinHandle<()>,
}

impl Member {
    /// Starts a gateway's part, without waiting.
    pub fn begin(settings: ClusterSettings) -> Self {
        let keys = Arc::new(ClusterKeys::new(&settings.keys));
        let running = Running::start(settings);
        let tickets = ClusterTickets::new(running.engine.clone(), keys.clone(), Arc::new(()));
        let table = Revocations::new(10_000, ChangeSignal::default());
        let cluster = ClusterRevocations::new(running.engine.clone(), keys, Arc::new(()), table.clone());
        let table = table.with_shared(Arc::new(cluster.clone()));
        let task = tokio::spawn(cluster.run());
        Self { running, tickets, table, cluster, task }
    }

    /// Starts a gateway's part, and waits until it has read all revocations.
    pub async fn start(settings: ClusterSettings) -> Self {
        let member = Self::begin(settings);
        member.is_loaded().await;
        member
    }

    pub async fn is_loaded(&self) {
        within(DEADLINE * 2, "revocations", self.cluster.loaded().wait_for(|is_loaded| *is_loaded)).await.unwrap();
    }

    pub async fn post(&self, value: &str) -> Reach {
        let id = self.table.revoke(revocation(value), SystemTime::now()).unwrap();
        self.table.share(id).await
    }

    pub async fn delete(&self, value: &str) -> Result<Reach, RestoreError> {
        self.table.restore_everywhere(id(value)).await
    }

    /// Waits until the revocation is in force here, or not.
    pub async fn until(&self, value: &str, is_there: bool) {
        let is_so = || async { self.table.posted(&id(value), SystemTime::now()).is_some() == is_there };
        eventually(ELECTION, is_so).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts three gateways' parts.
pub async fn three(urls: &[String], replicas: usize) -> [Member; 3] {
    let settings = || ClusterSettings { replicas, ..settings(urls) };
    [Member::start(settings()).await, Member::start(settings()).await, Member::start(settings()).await]
}

pub fn revocation(value: &str) -> Revocation {
    revocation_from_json(format!(r#"{{"jti":"{value}","ttl":"1h"}}"#).as_bytes(), SystemTime::now()).unwrap()
}

fn id(value: &str) -> RevocationId {
    let revocation = revocation(value);
    RevocationId::of(&revocation.claim, &revocation.value)
}
