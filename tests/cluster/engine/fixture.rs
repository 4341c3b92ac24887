//! The engine under test, and the tools of its tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use rillgate::cluster::{
    ClusterName, ClusterSettings, Engine, EngineCredentials, EngineError, EngineTls, EngineUrl, LogId, NatsEngine,
};
use rillgate::secret::Secret;
use tokio::task::JoinHandle;

use crate::support::wait::{DEADLINE, within};

/// An engine that runs. Ends when it is dropped.
pub struct Running {
    pub engine: Arc<NatsEngine>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(settings: ClusterSettings) -> Self {
        let engine = NatsEngine::new(settings);
        let task = tokio::spawn(engine.clone().run());
        Self { engine, task }
    }

    /// Starts and waits until the engine can be used.
    pub async fn connected(settings: ClusterSettings) -> Self {
        let running = Self::start(settings);
        running.is_connected().await;
        running
    }

    pub async fn is_connected(&self) {
        let mut state = self.engine.state();
        let connected = state.wait_for(|state| state.is_connected);
        within(DEADLINE * 2, "connection to the engine", connected).await.unwrap();
    }

    pub async fn is_disconnected(&self) {
        let mut state = self.engine.state();
        within(DEADLINE, "loss of the connection", state.wait_for(|state| !state.is_connected)).await.unwrap();
    }

    /// Waits for an error and returns it.
    pub async fn error(&self) -> EngineError {
        let mut state = self.engine.state();
        let failed = state.wait_for(|state| state.error.is_some());
        within(DEADLINE, "error of the engine", failed).await.unwrap().error.clone().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::ops::Deref for Running {
    type Target = NatsEngine;

    fn deref(&self) -> &NatsEngine {
        &self.engine
    }
}

/// Settings for these servers: one replica, no credentials.
pub fn settings(urls: &[String]) -> ClusterSettings {
    ClusterSettings {
        name: ClusterName::parse("test").unwrap(),
        urls: urls.iter().map(|url| EngineUrl::parse(url).unwrap()).collect(),
        keys: vec![Secret::new(vec![7; 32])],
        credentials: EngineCredentials::Anonymous,
        tls: EngineTls::default(),
        lease: Duration::from_secs(3),
        replicas: 1,
        bytes: 1 << 30,
        is_managed: true,
        log_events: 20_000,
        log_age: Duration::from_secs(600),
    }
}

/// The log with this number.
pub fn log(number: u32) -> LogId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    LogId(id)
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Returns the next item of a subscription.
pub async fn next<T>(stream: &mut (impl futures_util::Stream<Item = T> + Unpin)) -> T {
    within(DEADLINE, "message", stream.next()).await.expect("the subscription goes on")
}
