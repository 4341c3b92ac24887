//! The policy of a route's streams, which a reload replaces while they are open.
//!
//! All streams of a route read the same value. A stream that opens during a reload therefore never keeps an old policy,
//! whichever of the two comes first.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::log::Policy;

/// The policy in force for the streams of one route.
#[derive(Debug)]
pub struct LivePolicy(watch::Sender<Policy>);

impl LivePolicy {
    /// Creates the policy of a new route.
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self(watch::channel(policy).0))
    }

    /// Returns the policy in force.
    pub fn current(&self) -> Policy {
        *self.0.borrow()
    }

    /// Replaces the policy for streams that are open and for those to come.
    pub fn replace(&self, policy: Policy) {
        self.0.send_replace(policy);
    }

    /// Completes when the time that `duration` takes from the policy in force has passed since `begun`. A reload may
    /// change that time meanwhile. Cancel-safe.
    pub(super) async fn elapsed(&self, begun: Instant, duration: impl Fn(&Policy) -> Duration) {
        let mut policy = self.0.subscribe();
        loop {
            let end = begun + duration(&policy.borrow_and_update());
            tokio::select! {
                () = sleep_until(end) => return,
                // The sender is `self`, so this is no error.
                _ = policy.changed() => {}
            }
        }
    }

    /// Completes when the policy satisfies `condition`. Cancel-safe.
    pub(super) async fn becomes(&self, condition: impl FnMut(&Policy) -> bool) {
        // The sender is `self`, so this is no error.
        let _ = self.0.subscribe().wait_for(condition).await;
    }
}

/// The policies that routes or streams still use, by the name of the route.
#[derive(Debug, Default)]
pub struct LivePolicies(Mutex<HashMap<String, Weak<LivePolicy>>>);

impl LivePolicies {
    /// Returns the policy that the streams of this route read. Creates it with the value `initial` if none do.
    pub fn of_route(&self, route: &str, initial: Policy) -> Arc<LivePolicy> {
        let mut known = self.0.lock();
        known.retain(|_, policy| policy.strong_count() > 0);
        if let Some(policy) = known.get(route).and_then(Weak::upgrade) {
            return policy;
        }
        let policy = LivePolicy::new(initial);
        known.insert(route.to_owned(), Arc::downgrade(&policy));
        policy
    }
}
