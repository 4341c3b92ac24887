//! The configuration of a test, turned into that of a gateway in a cluster.
//!
//! Always true: every stream is shared, unless the test says where its log is or its gateway is alone. Each gateway has an admin port and
//! listens on ports that the system chooses.

use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};

use crate::left_out::Gateways;

/// A configuration with `[cluster]`, and the addresses that the test asked for.
pub struct SharedConfig {
    /// The configuration of every gateway.
    pub toml: String,
    /// The address of each listener: its port may be 0.
    pub listeners: Vec<SocketAddr>,
    /// True if the test itself has an admin port.
    pub has_admin: bool,
}

impl SharedConfig {
    /// Adds the cluster to the configuration of a test.
    ///
    /// # Panics
    /// Panics if the text is not TOML.
    pub fn new(config: &str, engine: &str, key: &Path, which: Gateways) -> Self {
        let mut config: Table = config.parse().unwrap_or_else(|error| panic!("the test's TOML: {error}"));
        let has_admin = config.contains_key("admin");
        config.insert("admin".to_owned(), Value::Table(table(&[("address", ANY_PORT.into())])));
        let mut listeners = Vec::new();
        for listener in tables(&mut config, "listeners") {
            let address = listener.insert("address".to_owned(), ANY_PORT.into());
            let address = address.as_ref().and_then(Value::as_str).unwrap_or(ANY_PORT);
            listeners.push(address.parse().expect("an address with a port"));
        }
        let store = if which == Gateways::Alone { "memory" } else { "cluster" };
        for route in tables(&mut config, "routes") {
            let replay = route.entry("replay").or_insert_with(|| Value::Table(Table::new()));
            let replay = replay.as_table_mut().expect("a table");
            replay.entry("store").or_insert_with(|| store.into());
        }
        let cluster = [
            ("urls", Value::Array(vec![engine.into()])),
            ("key", Value::Table(table(&[("file", key.to_str().expect("a path in UTF-8").into())]))),
            ("lease", "1s".into()),
            ("replicas", 1.into()),
        ];
        config.insert("cluster".to_owned(), Value::Table(table(&cluster)));
        Self { toml: config.to_string(), listeners, has_admin }
    }
}

fn table(entries: &[(&str, Value)]) -> Table {
    entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn tables<'c>(config: &'c mut Table, name: &str) -> impl Iterator<Item = &'c mut Table> {
    config.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

const ANY_PORT: &str = "127.0.0.1:0";
