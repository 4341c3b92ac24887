//! The pooled connections to an upstream: one pool for each worker.
//!
//! A connection is driven on the worker that opened it, so a request never waits for another worker. A drain closes idle
//! connections, and those in use after their exchange.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;

use super::connector::OriginConnector;
use super::upload::Upload;
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::tasks::Tasks;
use crate::upstream::UpstreamSettings;

/// The time for which an unused connection is kept. Less than the 5 s after which Node.js closes one, so that a request
/// seldom meets a connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most unused connections to one origin, on each worker.
const MAX_IDLE_CONNECTIONS: usize = 128;

/// The most bytes of a response head, and of what is buffered on a connection.
const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;

/// A client with its pool.
pub(super) type PooledClient = Client<OriginConnector, Upload>;

/// The clients of one upstream.
pub(super) struct Clients {
    connector: OriginConnector,
    /// By worker. Locked to look one up, never across an await.
    pools: Mutex<HashMap<ThreadId, PooledClient>>,
}

impl Clients {
    pub(super) fn new(upstream: Arc<UpstreamSettings>, budget: ConnectBudget) -> Self {
        Self { connector: OriginConnector { upstream, budget }, pools: Mutex::default() }
    }

    /// Returns the client of this worker. While the gateway drains it has no pool, so that no connection outlives its
    /// exchange.
    pub(super) fn of_this_worker(&self) -> PooledClient {
        let tasks = self.connector.budget.tasks();
        let mut pools = self.pools.lock();
        if tasks.draining_since().is_some() {
            pools.clear();
            return self.client(0);
        }
        pools.entry(std::thread::current().id()).or_insert_with(|| self.client(MAX_IDLE_CONNECTIONS)).clone()
    }

    /// Closes the idle connections.
    pub(super) fn close_idle(&self) {
        self.pools.lock().clear();
    }

    fn client(&self, max_idle: usize) -> PooledClient {
        Builder::new(TaskExecutor(self.connector.budget.tasks().clone()))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(max_idle)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(CONNECTION_BUFFER_BYTES)
            .set_host(false)
            .build(self.connector.clone())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("pools", &self.pools.lock().len()).finish_non_exhaustive()
    }
}

/// Spawns what hyper drives in the background.
#[derive(Clone)]
struct TaskExecutor(Tasks);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for TaskExecutor {
    fn execute(&self, future: F) {
        self.0.spawn("forward", async move {
            future.await;
        });
    }
}
