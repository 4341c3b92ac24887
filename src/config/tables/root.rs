//! The root table of the file.

use super::references::References;
use super::{issuers, listeners, routes, server, upstreams};
use crate::config::engine::{KeySpec, Kind, Table};
use crate::config::{Config, WatchedFiles};
use crate::listen;

/// The whole file.
pub(crate) const FILE: &[KeySpec] = &[
    KeySpec::optional("server", Kind::Table(server::SERVER), "The gateway as a process."),
    KeySpec::optional("log", Kind::Table(server::LOG), "What is logged. The level comes from RILLGATE_LOG."),
    KeySpec::optional("store", Kind::Table(server::STORE), "Where event logs go with replay.store = \"disk\"."),
    KeySpec::optional("revocations", Kind::Table(server::REVOCATIONS), "What is refused although its token is good."),
    KeySpec::required(
        "listeners",
        Kind::List(&Kind::Table(listeners::LISTENER)),
        "Where clients come in; at least one.",
    ),
    KeySpec::optional("admin", Kind::Table(server::ADMIN), "The operator's port. Absent: there is none."),
    KeySpec::optional("limits", Kind::Table(server::LIMITS), "How much of each thing is let in. None is unlimited."),
    KeySpec::optional("issuers", Kind::Map(&Kind::Table(issuers::ISSUER)), "Who signs tokens, by name."),
    KeySpec::optional("upstreams", Kind::Map(&Kind::Table(upstreams::UPSTREAM)), "Where events come from, by name."),
    KeySpec::optional(
        "routes",
        Kind::List(&Kind::Table(routes::ROUTE)),
        "What is served; the most specific path wins.",
    ),
];

/// Reads the whole file.
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
            table.report("address", "is a listener's: the operator's port is never public");
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
