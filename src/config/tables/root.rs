//! The root table of the file.

use super::references::References;
use super::{issuers, listeners, routes, server, upstreams};
use crate::config::engine::{KeySpec, Kind, Table};
use crate::config::{Config, WatchedFiles};
use crate::listen;

/// The keys of the root table.
pub(crate) const FILE: &[KeySpec] = &[
    KeySpec::optional("server", Kind::Table(server::SERVER), "Process-wide settings."),
    KeySpec::optional(
        "log",
        Kind::Table(server::LOG),
        "Logging. The environment variable RILLGATE_LOG sets the level.",
    ),
    KeySpec::optional(
        "store",
        Kind::Table(server::STORE),
        "The store for event logs of routes with replay.store = \"disk\".",
    ),
    KeySpec::optional(
        "revocations",
        Kind::Table(server::REVOCATIONS),
        "Revocation of tokens that are otherwise valid.",
    ),
    KeySpec::required(
        "listeners",
        Kind::List(&Kind::Table(listeners::LISTENER)),
        "The addresses that clients connect to; at least one.",
    ),
    KeySpec::optional(
        "admin",
        Kind::Table(server::ADMIN),
        "The admin port, for health checks, metrics and administration. Absent: no admin port.",
    ),
    KeySpec::optional("limits", Kind::Table(server::LIMITS), "Gateway-wide limits. Every limit is finite."),
    KeySpec::optional("issuers", Kind::Map(&Kind::Table(issuers::ISSUER)), "Token issuers, by name."),
    KeySpec::optional("upstreams", Kind::Map(&Kind::Table(upstreams::UPSTREAM)), "Sources of events, by name."),
    KeySpec::optional(
        "routes",
        Kind::List(&Kind::Table(routes::ROUTE)),
        "The paths that are served. The most specific path wins.",
    ),
];

/// Builds the configuration from the root table.
pub(crate) fn config(root: &Table<'_>) -> Config {
    let (workers, watch, drain) = server::server(&root.table("server"));
    let log_subject = root.table("log").boolean("subject");
    let store = root.optional_table("store").map(|table| server::store(&table));
    let revocations = server::revocations(&root.table("revocations"));
    let listeners = listeners::listeners(&root.nonempty_items("listeners"));
    let admin = root.optional_table("admin");
    let admin = admin.and_then(|table| {
        let settings = server::admin(&table)?;
        let address = listen::Address::Socket(settings.address);
        if listeners.iter().any(|other| listeners::overlaps(&other.address, &address)) {
            table.report("address", "already used by a listener; the admin port must be separate");
        }
        Some(settings)
    });
    let (limits, configured_sockets) = server::limits(&root.table("limits"));
    let issuers = issuers::issuers(root.entries("issuers"));
    let upstreams = upstreams::upstreams(root.entries("upstreams"));
    let references = References {
        issuers: &issuers,
        upstreams: &upstreams,
        has_store: root.contains("store"),
        token_bytes: limits.token_bytes,
    };
    let routes = routes::routes(&root.items("routes"), references);
    Config {
        workers,
        watch,
        watched_files: WatchedFiles::default(),
        drain,
        log_subject,
        store,
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
