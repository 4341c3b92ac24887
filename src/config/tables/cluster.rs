//! `[cluster]`: the engine through which gateways share streams, tickets and revocations.
//!
//! Only forms are checked here. Whether the engine can be reached, and accepts the credentials, shows at the start and
//! with `rillgate check --connect`.

use std::time::Duration;

use super::referenced_files::{self, CertificateTable, HeaderSecretTable, KeySecretTable};
use crate::cluster::{ClusterName, ClusterSettings, EngineCredentials, EngineTls, EngineUrl};
use crate::config::engine::{KeyEntry, List, OneOf, Value, duration, integer, keys, size};
use crate::route::LogStorage;
use crate::secret::Secret;
use crate::stream::Retention;

type ClusterKeyTables<'a> = OneOf<'a, KeySecretTable<'a>, List<'a, KeySecretTable<'a>>>;

keys! {
    pub(super) struct ClusterTable<'a> {
        /// Name of the cluster: gateways with the same name and key share. At most 32 letters, digits, "-" and "_".
        name: &'a str = "rillgate",
        /// Servers of the engine: nats://HOST:PORT or tls://HOST:PORT.
        urls: List<'a, &'a str> = required,
        /// Key of at least 32 bytes, the same on all gateways: { file = "…" } or { env = "…" }. While it is changed, an
        /// array of two: the first is used, both are accepted.
        key: ClusterKeyTables<'a> = required as secret,
        /// Credentials file of a user: { file = "…" } or { env = "…" } with its content.
        credentials: HeaderSecretTable<'a> = optional as secret,
        /// Seed of a user's nkey.
        nkey: HeaderSecretTable<'a> = optional as secret,
        /// Token.
        token: HeaderSecretTable<'a> = optional as secret,
        /// Name of a user; needs password.
        user: &'a str = optional,
        /// Password of the user.
        password: HeaderSecretTable<'a> = optional as secret,
        /// TLS settings for the engine.
        tls: ClusterTlsTable<'a> = optional,
        /// Time after which a gateway that was killed is replaced as the owner of its streams.
        lease: Duration = "3s" in duration("1s", "60s"),
        /// Number of the engine's servers that have each record: 1, 3 or 5. With 1, the loss of a server loses logs.
        replicas: usize = "3" in integer(1, 5),
        /// Maximum size of all logs in the engine. The oldest records are then deleted.
        bytes: usize = "1GiB" in size("1MiB", "1024GiB"),
        /// Create and update the engine's JetStream streams. false: they must exist, and are only checked.
        manage: bool = "true",
    }

    struct ClusterTlsTable<'a> {
        /// PEM file of CA certificates that are trusted instead of the system's.
        ca_file: &'a str = optional,
        /// Client certificate, presented to servers that request one.
        client_certificate: CertificateTable<'a> = optional,
    }
}

/// Reads `[cluster]`. `routes` are what the logs of the cluster must be able to keep. `None`: it has problems.
pub(super) fn cluster<'r>(
    table: &ClusterTable<'_>,
    entry: &KeyEntry<'_>,
    routes: impl Iterator<Item = (LogStorage, &'r Retention)>,
) -> Option<ClusterSettings> {
    if !cfg!(feature = "cluster") {
        entry.report("this rillgate was built without the feature `cluster`");
        return None;
    }
    let name = match table.name.value() {
        Some(value) => parsed(&value, ClusterName::parse),
        None => ClusterName::parse(table.name.get()).ok(),
    };
    let urls: Vec<_> = table.urls.nonempty_items().iter().filter_map(|value| parsed(value, EngineUrl::parse)).collect();
    let keys = cluster_keys(table);
    let credentials = credentials(table);
    let replicas = table.replicas.get();
    if replicas.is_multiple_of(2) {
        table.replicas.report("must be 1, 3 or 5: an even number survives no more failures");
    }
    let kept: Vec<_> = routes.filter(|(storage, _)| *storage == LogStorage::Cluster).map(|(_, kept)| kept).collect();
    let default = Retention::default();
    Some(ClusterSettings {
        name: name?,
        urls,
        keys,
        credentials,
        tls: tls(&table.tls.table()),
        lease: table.lease.get(),
        replicas,
        bytes: table.bytes.get() as u64,
        is_managed: table.manage.get(),
        log_events: kept.iter().map(|kept| kept.events).max().unwrap_or(default.events),
        log_age: kept.iter().map(|kept| kept.age).max().unwrap_or(default.age),
    })
}

fn parsed<'a, T>(value: &Value<'a>, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
    parse(value.read()?).map_err(|problem| value.report(problem)).ok()
}

fn cluster_keys(table: &ClusterTable<'_>) -> Vec<Secret> {
    let Some(value) = table.key.value() else { return Vec::new() };
    let items = value.read().map(OneOf::items).unwrap_or_default();
    if !(1..=2).contains(&items.len()) && matches!(value.read(), Some(OneOf::Second(_))) {
        value.report("expected one key, or two while it is changed");
    }
    let mut keys: Vec<Secret> = Vec::new();
    for item in items {
        let Some(key) = item.read().and_then(|table| referenced_files::key_secret(&table)) else { continue };
        if key.reveal().len() < MIN_KEY_BYTES {
            item.report("the key must have at least 32 bytes");
        } else if keys.iter().any(|other| other.is_same(&key)) {
            item.report("the same key twice");
        }
        keys.push(key);
    }
    keys
}

/// Reads the one form of credentials that is given.
fn credentials(table: &ClusterTable<'_>) -> EngineCredentials {
    let forms: [(&str, &KeyEntry<'_>); 4] =
        [("credentials", &table.credentials), ("nkey", &table.nkey), ("token", &table.token), ("user", &table.user)];
    let mut given = forms.iter().filter(|(_, entry)| entry.is_given());
    if let Some((first, _)) = given.next() {
        for (_, entry) in given {
            entry.report(format!("conflicts with {first}: the engine takes one form of credentials"));
        }
    }
    if table.user.is_given() != table.password.is_given() {
        let (missing, there): (_, &KeyEntry<'_>) =
            if table.user.is_given() { ("password", &table.user) } else { ("user", &table.password) };
        there.report(format!("needs {missing}"));
    }
    let secret = |table: Option<HeaderSecretTable<'_>>| {
        let table = table?;
        let mut bytes = referenced_files::secret_bytes(&table.file, &table.env)?;
        bytes.truncate(bytes.trim_ascii_end().len());
        Some(Secret::new(bytes))
    };
    let (file, nkey, token) = (table.credentials.read(), table.nkey.read(), table.token.read());
    let user = table.user.read();
    let found = [
        secret(file).map(EngineCredentials::File),
        secret(nkey).map(EngineCredentials::Nkey),
        secret(token).map(EngineCredentials::Token),
        secret(table.password.read())
            .zip(user)
            .map(|(password, user)| EngineCredentials::Password { user: user.to_owned(), password }),
    ];
    found.into_iter().flatten().next().unwrap_or_default()
}

fn tls(table: &ClusterTlsTable<'_>) -> EngineTls {
    let certificate = table.client_certificate.read().and_then(|table| referenced_files::certified_key(&table));
    EngineTls {
        ca_file: table.ca_file.value().and_then(|value| referenced_files::watched_authorities(&value)),
        client_certificate: certificate.map(|(files, _)| (files.chain, files.key)),
    }
}

/// The fewest bytes of a key: those of the tags that are made with it.
const MIN_KEY_BYTES: usize = 32;
