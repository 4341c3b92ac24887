//! Permits for connections to the admin port.
//!
//! Some are kept for probes and scrapers. So a client that holds all others, or as many as one address may, does not keep
//! `/livez` from being answered. An IPv6 client is counted by its prefix. Clients on loopback have no limit per address.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::SharedLimits;
use crate::runtime::shares::{OnRefusal, SharePermit, Shares};

/// Maximum number of connections that may ask for anything.
const CONNECTIONS: usize = 64;

/// Maximum number of connections that may only probe and scrape, beside the others.
const PROBE_CONNECTIONS: usize = 8;

/// The part of either that one address may hold, other than loopback: half.
const ADDRESS_DIVISOR: usize = 2;

/// Hands out permits.
pub(super) struct ConnectionPermits {
    all_paths: PermitPool,
    probes: PermitPool,
    limits: SharedLimits,
    on_refusal: OnRefusal,
}

/// The permits of one kind.
struct PermitPool {
    scope: RequestScope,
    free: Arc<Semaphore>,
    /// IPv6 addresses by prefix (`limits.ip6_prefix`).
    by_address: Shares<IpAddr>,
    max_per_address: usize,
}

/// The requests that a connection may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestScope {
    /// All of them.
    AllPaths,
    /// `/livez`, `/readyz` and `/metrics`.
    Probes,
}

/// The permit of a connection that is not accepted yet.
pub(super) struct PendingPermit {
    scope: RequestScope,
    free: OwnedSemaphorePermit,
}

/// The permit of an open connection. Dropping it releases it.
pub(super) struct ConnectionPermit {
    /// The requests that the connection may make.
    pub(super) scope: RequestScope,
    _free: OwnedSemaphorePermit,
    _share: Option<SharePermit<IpAddr>>,
}

impl ConnectionPermits {
    /// Creates all permits. `on_refusal` is called for each connection that is kept from a free permit by the share of
    /// its address.
    pub(super) fn new(limits: SharedLimits, on_refusal: OnRefusal) -> Self {
        Self {
            all_paths: PermitPool::new(RequestScope::AllPaths, CONNECTIONS),
            probes: PermitPool::new(RequestScope::Probes, PROBE_CONNECTIONS),
            limits,
            on_refusal,
        }
    }

    /// Waits until one more connection can be accepted. Cancel-safe.
    pub(super) async fn available(&self) -> PendingPermit {
        tokio::select! {
            biased;
            permit = self.all_paths.acquire() => permit,
            permit = self.probes.acquire() => permit,
        }
    }

    /// Admits a connection from `address`. Returns `None` if the address has its share of both kinds.
    pub(super) fn admit(&self, address: IpAddr, pending: PendingPermit) -> Option<ConnectionPermit> {
        // The prefix of an IPv6 loopback address is not one.
        let owner = (!address.to_canonical().is_loopback()).then(|| self.limits.load().network(address));
        let admitted = match pending.scope {
            RequestScope::Probes => self.probes.admit(owner, pending.free),
            RequestScope::AllPaths => match self.all_paths.admit(owner, pending.free) {
                Some(permit) => return Some(permit),
                None => {
                    (self.on_refusal)();
                    let free = self.probes.free.clone().try_acquire_owned().ok()?;
                    return self.probes.admit(owner, free);
                }
            },
        };
        if admitted.is_none() {
            (self.on_refusal)();
        }
        admitted
    }
}

impl PermitPool {
    fn new(scope: RequestScope, max: usize) -> Self {
        // A refusal of one kind may still be admitted by the other, so the owner of both counts.
        let by_address = Shares::new(Arc::new(|| ()));
        Self { scope, free: Arc::new(Semaphore::new(max)), by_address, max_per_address: max / ADDRESS_DIVISOR }
    }

    async fn acquire(&self) -> PendingPermit {
        let free = self.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        PendingPermit { scope: self.scope, free }
    }

    /// Admits a connection of `owner`, or of nobody whose connections are counted.
    fn admit(&self, owner: Option<IpAddr>, free: OwnedSemaphorePermit) -> Option<ConnectionPermit> {
        let share = match owner {
            None => None,
            Some(owner) => Some(self.by_address.acquire(owner, self.max_per_address)?),
        };
        Some(ConnectionPermit { scope: self.scope, _free: free, _share: share })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arc_swap::ArcSwap;
    use futures_util::FutureExt;

    use super::*;
    use crate::config::Config;

    fn permits() -> (ConnectionPermits, Arc<AtomicUsize>) {
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let config = Config::parse(include_str!("../../config/minimal.toml"), Path::new("")).expect("a valid file");
        let limits = Arc::new(ArcSwap::from_pointee(config.limits));
        (ConnectionPermits::new(limits, Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed))), refused)
    }

    fn admit(permits: &ConnectionPermits, address: impl Into<IpAddr>) -> Option<ConnectionPermit> {
        let pending = permits.available().now_or_never().expect("a free permit");
        permits.admit(address.into(), pending)
    }

    fn count(held: &[ConnectionPermit], scope: RequestScope) -> usize {
        held.iter().filter(|permit| permit.scope == scope).count()
    }

    #[test]
    fn an_address_has_half_of_the_permits_and_leaves_the_rest_to_others() {
        let (permits, refused) = permits();

        let greedy: Vec<_> = (0..1000).filter_map(|_| admit(&permits, [192, 0, 2, 1])).collect();
        let other: Vec<_> = (0..36).filter_map(|_| admit(&permits, [192, 0, 2, 2])).collect();

        for held in [&greedy, &other] {
            assert_eq!((count(held, RequestScope::AllPaths), count(held, RequestScope::Probes)), (32, 4));
        }
        assert_eq!(refused.load(Ordering::Relaxed), 1000 - 32);
        drop(greedy);
        assert!(admit(&permits, [192, 0, 2, 1]).is_some_and(|permit| permit.scope == RequestScope::AllPaths));
    }

    #[test]
    fn the_addresses_of_one_ipv6_prefix_have_one_share() {
        let (permits, _) = permits();
        let address = |number: u16| [0x2001, 0xdb8, 0, 1, 0, 0, 0, number];

        let greedy: Vec<_> = (0..1000).filter_map(|number| admit(&permits, address(number))).collect();

        assert_eq!((count(&greedy, RequestScope::AllPaths), count(&greedy, RequestScope::Probes)), (32, 4));
        assert!(admit(&permits, [0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]).is_some(), "another prefix");
        let loopback = [0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!((0..33).filter_map(|_| admit(&permits, loopback)).count(), 33, "loopback has no share");
    }

    #[test]
    fn loopback_may_hold_all_permits_and_the_last_ones_are_for_probes() {
        let (permits, refused) = permits();

        let held: Vec<_> = (0..72).filter_map(|_| admit(&permits, [127, 0, 0, 1])).collect();

        assert_eq!((count(&held, RequestScope::AllPaths), count(&held, RequestScope::Probes)), (64, 8));
        assert!(permits.available().now_or_never().is_none(), "a further one waits");
        assert_eq!(refused.load(Ordering::Relaxed), 0);
    }
}
