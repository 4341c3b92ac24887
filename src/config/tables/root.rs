//! The root table of the file.

use super::cluster::{self, ClusterTable};
use super::issuers::{self, IssuerTable};
use super::listeners::{self, ListenerTable};
use super::references::References;
use super::routes::{self, RouteTable};
use super::server::{self, AdminTable, LimitsTable, LogTable, RevocationsTable, ServerTable, StoreTable};
use super::upstreams::{self, UpstreamTable};
use crate::config::engine::{KeySpec, Keys, List, Map, keys};
use crate::config::{Config, WatchedFiles};
use crate::listen;

keys! {
    pub(crate) struct RootTable<'a> {
        /// Process-wide settings.
        server: ServerTable<'a> = optional,
        /// Logging. The environment variable RILLGATE_LOG sets the level.
        log: LogTable<'a> = optional,
        /// The store for event logs of routes with replay.store = "disk".
        store: StoreTable<'a> = optional,
        /// The engine through which gateways share streams, tickets and revocations. Absent: this gateway is alone.
        cluster: ClusterTable<'a> = optional,
        /// Revocation of tokens that are otherwise valid.
        revocations: RevocationsTable<'a> = optional,
        /// The addresses that clients connect to; at least one.
        listeners: List<'a, ListenerTable<'a>> = required,
        /// The admin port, for health checks, metrics and administration. Absent: no admin port.
        admin: AdminTable<'a> = optional,
        /// Gateway-wide limits. Every limit is finite.
        limits: LimitsTable<'a> = optional,
        /// Token issuers, by name.
        issuers: Map<'a, IssuerTable<'a>> = optional,
        /// Sources of events, by name.
        upstreams: Map<'a, UpstreamTable<'a>> = optional,
        /// The paths that are served. The most specific path wins.
        routes: List<'a, RouteTable<'a>> = optional,
    }
}

/// The keys of the root table.
pub(crate) const KEYS: &[KeySpec] = RootTable::KEYS;

/// Builds the configuration from the root table.
pub(crate) fn config(root: &RootTable<'_>) -> Config {
    let (workers, watch, drain) = server::server(&root.server.table());
    let log_subject = root.log.table().subject.get();
    let store = root.store.read().map(|table| server::store(&table));
    let revocations = server::revocations(&root.revocations.table());
    let listeners = listeners::listeners(&root.listeners.nonempty_items());
    let admin = root.admin.read();
    let admin = admin.and_then(|table| {
        let settings = server::admin(&table)?;
        let address = listen::Address::Socket(settings.address);
        if listeners.iter().any(|other| listeners::overlaps(&other.address, &address)) {
            table.address.report("already used by a listener; the admin port must be separate");
        }
        Some(settings)
    });
    let (limits, configured_sockets) = server::limits(&root.limits.table());
    let issuers = issuers::issuers(root.issuers.entries());
    let upstreams = upstreams::upstreams(root.upstreams.entries());
    let references = References {
        issuers: &issuers,
        upstreams: &upstreams,
        has_store: root.store.is_given(),
        has_cluster: root.cluster.is_given(),
        token_bytes: limits.token_bytes,
    };
    let routes = routes::routes(&root.routes.items(), references);
    let kept = routes.iter().map(|route| (route.stream.storage, &route.stream.retention));
    let cluster = root.cluster.read().and_then(|table| cluster::cluster(&table, &root.cluster, kept));
    Config {
        workers,
        watch,
        watched_files: WatchedFiles::default(),
        drain,
        log_subject,
        store,
        cluster,
        listeners,
        admin,
        limits,
        configured_sockets,
        issuers,
        upstreams,
        routes,
        revocations,
        effective: serde_json::Value::Null,
    }
}
