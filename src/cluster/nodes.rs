//! Leases: whether this gateway may own streams, and which others are dead.
//!
//! Each gateway stores a beat every quarter of a lease. Its own lease is over a lease after it sent the last beat that
//! was acknowledged. Another gateway is dead when own beats were acknowledged without a break for a lease and none of
//! its beats was seen for 1.25 leases, and the engine has no newer one either. Beats are heard at most once, so the engine
//! is asked for them early: a beat that was found there late counts as one of that moment. So an engine that stands still
//! kills nobody. Nothing that is told depends on this: a wrong guess costs a reconnect, since the log refuses whoever was
//! overtaken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::beat::StreamCounts;
use crate::runtime::arithmetic;

/// The lease of this gateway, and what is known of the others.
#[derive(Debug)]
pub(super) struct Nodes {
    me: String,
    lease: Duration,
    started: Instant,
    /// Never held across an await.
    own: Mutex<OwnLease>,
    /// By node id. Never held across an await.
    others: Mutex<HashMap<String, OtherNode>>,
    changes: watch::Sender<NodesChange>,
}

/// The beats of this gateway.
#[derive(Clone, Copy, Debug, Default)]
struct OwnLease {
    /// The time since which beats are acknowledged without a break.
    healthy_since: Option<Instant>,
    /// The time at which the last acknowledged beat was sent.
    sent: Option<Instant>,
}

/// Another gateway.
#[derive(Clone, Debug)]
struct OtherNode {
    seen: Instant,
    /// The number of its last beat.
    count: u64,
    host: Arc<str>,
    streams: StreamCounts,
    /// True if the engine has no newer beat either.
    is_confirmed_dead: bool,
}

/// Grows with each change that members act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodesChange {
    /// True while the own lease is valid.
    pub is_valid: bool,
    /// The number of gateways that were found dead so far.
    pub deaths: u64,
}

/// A gateway of the cluster, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node id: one run of one gateway.
    pub node: String,
    /// The name of its host.
    pub host: String,
    /// The time since its last beat.
    pub seen_ago: Duration,
    /// The streams that it has.
    pub streams: StreamCounts,
    /// True for this gateway.
    pub is_self: bool,
}

impl Nodes {
    /// Starts without a lease.
    pub(super) fn new(me: String, lease: Duration) -> Self {
        Self {
            me,
            lease,
            started: Instant::now(),
            own: Mutex::default(),
            others: Mutex::default(),
            changes: watch::channel(NodesChange::default()).0,
        }
    }

    /// Returns the own node id.
    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// Returns the lease.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// Returns a view of the changes.
    pub(super) fn changes(&self) -> watch::Receiver<NodesChange> {
        self.changes.subscribe()
    }

    /// Returns true while the own lease is valid.
    pub(super) fn is_valid(&self) -> bool {
        self.valid_until().is_some_and(|end| Instant::now() < end)
    }

    /// Returns the end of the own lease.
    pub(super) fn valid_until(&self) -> Option<Instant> {
        self.own.lock().sent.map(|sent| sent + self.lease)
    }

    /// Records that a beat that was sent at `sent` was acknowledged.
    pub(super) fn acknowledged(&self, sent: Instant) {
        let mut own = self.own.lock();
        // A pause in which this gateway could not write says nothing about the others.
        let had_break =
            own.sent.is_none_or(|before| sent.duration_since(before) > arithmetic::scale(self.lease, MOST_BETWEEN));
        if had_break || own.healthy_since.is_none() {
            own.healthy_since = Some(Instant::now());
        }
        own.sent = Some(sent);
        drop(own);
        self.update_validity();
    }

    /// Records that beats of others may have been missed.
    pub(super) fn reconnected(&self) {
        self.own.lock().healthy_since = None;
    }

    /// Tells members if the own lease has begun or ended.
    pub(super) fn update_validity(&self) {
        let is_valid = self.is_valid();
        self.changes.send_if_modified(|change| std::mem::replace(&mut change.is_valid, is_valid) != is_valid);
    }

    /// Records a beat of another gateway. One that is not newer than the last one says nothing.
    pub(super) fn saw(&self, node: &str, host: &str, count: u64, streams: StreamCounts) {
        if node == self.me {
            return;
        }
        let now = Instant::now();
        let mut others = self.others.lock();
        if others.len() >= MAX_NODES {
            others.retain(|_, other| now.duration_since(other.seen) < FORGOTTEN_AFTER);
        }
        if let Some(other) = others.get_mut(node) {
            if other.count < count {
                (other.seen, other.count, other.is_confirmed_dead) = (now, count, false);
                other.streams = streams;
                if *other.host != *host {
                    other.host = host.into();
                }
            }
        } else if others.len() < MAX_NODES {
            let other = OtherNode { seen: now, count, host: host.into(), streams, is_confirmed_dead: false };
            others.insert(node.to_owned(), other);
        }
    }

    /// Returns true if this gateway may take over what `node` owns.
    pub(super) fn is_dead(&self, node: &str) -> bool {
        if node == self.me || !self.is_healthy() {
            return false;
        }
        let mut others = self.others.lock();
        if !others.contains_key(node) && others.len() < MAX_NODES {
            // It has been silent since this gateway began to listen.
            let other = OtherNode {
                seen: self.started,
                count: 0,
                host: "".into(),
                streams: StreamCounts::default(),
                is_confirmed_dead: false,
            };
            others.insert(node.to_owned(), other);
        }
        others.get(node).is_none_or(|other| other.is_confirmed_dead && self.is_silent(other))
    }

    /// Returns true if a gateway has been silent for so long that the engine should be asked about it.
    pub(super) fn has_suspects(&self) -> bool {
        let is_suspect = |other: &OtherNode| !other.is_confirmed_dead && self.is_silent_for(other, SUSPICION);
        self.is_healthy() && self.others.lock().values().any(is_suspect)
    }

    /// Records that the engine was asked for all beats after [`Self::has_suspects`], and that newer ones were seen.
    pub(super) fn confirm_deaths(&self) {
        let mut deaths = 0;
        for other in self.others.lock().values_mut() {
            if !other.is_confirmed_dead && self.is_silent(other) {
                other.is_confirmed_dead = true;
                deaths += 1;
            }
        }
        if deaths > 0 {
            self.changes.send_modify(|change| change.deaths += deaths);
        }
    }

    /// Returns all gateways that are heard of, this one first.
    pub(super) fn views(&self, own_host: &str, streams: StreamCounts) -> Vec<NodeView> {
        let now = Instant::now();
        let seen_ago = self.own.lock().sent.map_or(now.duration_since(self.started), |sent| now.duration_since(sent));
        let mut views =
            vec![NodeView { node: self.me.clone(), host: own_host.to_owned(), seen_ago, streams, is_self: true }];
        views.extend(self.others.lock().iter().filter(|(_, other)| other.count > 0).map(|(node, other)| NodeView {
            node: node.clone(),
            host: other.host.to_string(),
            seen_ago: now.duration_since(other.seen),
            streams: other.streams,
            is_self: false,
        }));
        views[1..].sort_by(|a, b| a.node.cmp(&b.node));
        views
    }

    /// Returns true if own beats have been acknowledged without a break for a lease.
    fn is_healthy(&self) -> bool {
        let since = self.own.lock().healthy_since;
        self.is_valid() && since.is_some_and(|since| since.elapsed() >= self.lease)
    }

    fn is_silent(&self, other: &OtherNode) -> bool {
        self.is_silent_for(other, SILENCE)
    }

    fn is_silent_for(&self, other: &OtherNode, leases: f64) -> bool {
        other.seen.elapsed() >= arithmetic::scale(self.lease, leases)
    }
}

/// The leases without a beat after which the engine is asked for it: two beats are missing.
const SUSPICION: f64 = 0.5;

/// The leases without a beat after which a gateway may be dead.
const SILENCE: f64 = 1.25;

/// The most leases between two acknowledged beats without a break.
const MOST_BETWEEN: f64 = 0.6;

/// The most gateways that are remembered, dead ones included.
const MAX_NODES: usize = 4096;

/// The time after which a gateway that is not heard of is forgotten, if there are many.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    /// Beats every second for so many seconds.
    async fn beat(nodes: &Nodes, seconds: u64) {
        for _ in 0..seconds {
            nodes.acknowledged(Instant::now());
            advance(Duration::from_secs(1)).await;
        }
        nodes.acknowledged(Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_gateway_is_dead_after_five_quarters_of_a_lease_once_the_engine_confirms_it() {
        let nodes = Nodes::new("me".to_owned(), LEASE);
        beat(&nodes, 5).await;
        nodes.saw("other", "host", 1, StreamCounts::default());
        beat(&nodes, 1).await;
        assert!(!nodes.has_suspects());
        beat(&nodes, 3).await;
        nodes.confirm_deaths();
        assert!(nodes.has_suspects() && !nodes.is_dead("other"), "it may still beat");

        beat(&nodes, 1).await;
        assert!(!nodes.is_dead("other"), "not confirmed");
        nodes.confirm_deaths();
        assert!(nodes.is_dead("other"));
        nodes.saw("other", "host", 2, StreamCounts::default());

        assert!(!nodes.is_dead("other"));
        assert!(!nodes.is_dead("me"));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_break_of_own_beats_nobody_is_dead_for_a_lease() {
        let nodes = Nodes::new("me".to_owned(), LEASE);
        nodes.saw("other", "host", 1, StreamCounts::default());
        beat(&nodes, 6).await;
        advance(Duration::from_secs(3)).await;

        beat(&nodes, 3).await;
        nodes.confirm_deaths();
        assert!(!nodes.is_dead("other"));
        beat(&nodes, 1).await;
        assert!(nodes.is_dead("other"));
        nodes.reconnected();

        assert!(!nodes.is_dead("other"), "its beats may have been missed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_a_lease_after_the_last_acknowledged_beat_was_sent() {
        let nodes = Nodes::new("me".to_owned(), LEASE);
        assert!(!nodes.is_valid());
        let sent = Instant::now();
        advance(Duration::from_secs(1)).await;
        nodes.acknowledged(sent);

        advance(Duration::from_millis(2999)).await;
        assert!(nodes.is_valid());
        advance(Duration::from_millis(1)).await;

        assert!(!nodes.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_was_never_heard_of_is_dead_after_the_same_time() {
        let nodes = Nodes::new("me".to_owned(), LEASE);
        assert!(!nodes.is_dead("unknown"));
        beat(&nodes, 5).await;
        assert!(!nodes.is_dead("unknown"));
        assert!(nodes.has_suspects());

        nodes.confirm_deaths();

        assert!(nodes.is_dead("unknown"));
    }
}
