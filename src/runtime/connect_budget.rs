//! The bounds on connecting that all upstreams of a gateway share: name lookups and connection attempts.
//!
//! Opens no socket. A reload keeps it, so that attempts under earlier settings still count.

use tokio::time::Instant;

use super::fair_semaphore::{FairPermit, FairSemaphore};
use super::resolver::Resolver;
use super::shares::OnRefusal;
use super::tasks::Tasks;

/// The name lookups and connection attempts of all upstreams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectBudget {
    resolver: Resolver,
    /// By upstream and address, so that an address that does not answer leaves the upstream's others alone.
    attempts: FairSemaphore<(String, String)>,
    tasks: Tasks,
}

/// A place among the connection attempts to one address. Dropping it frees the place.
pub struct ConnectPermit {
    _attempt: FairPermit<(String, String)>,
}

impl ConnectBudget {
    /// Creates the budget of a gateway. `on_refusal` is called when a stream has waited in vain while the address that it
    /// wants has [`MAX_ATTEMPTS`] in progress.
    pub fn new(resolver: Resolver, on_refusal: OnRefusal) -> Self {
        Self { resolver, attempts: FairSemaphore::new(usize::MAX, MAX_ATTEMPTS, on_refusal), tasks: Tasks::default() }
    }

    /// Returns the budget with the tasks that drive shared connections.
    pub fn with_tasks(self, tasks: Tasks) -> Self {
        Self { tasks, ..self }
    }

    /// Returns the tasks that drive shared connections.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Returns the resolver of names.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Acquires a place among the attempts of this upstream to this address, or returns `None` if there is none until
    /// `deadline`. Cancel-safe: a waiter that is dropped loses its place.
    pub async fn acquire_attempt(&self, upstream: &str, address: String, deadline: Instant) -> Option<ConnectPermit> {
        let owner = (upstream.to_owned(), address);
        Some(ConnectPermit { _attempt: self.attempts.acquire_until(Some(owner), deadline).await? })
    }
}

/// Most connection attempts to one address of an upstream at a time. Further ones wait in order.
pub const MAX_ATTEMPTS: usize = 64;
