//! What a reload cannot change: sockets and threads are those of the start.
//!
//! Compares, and names what differs. Does not know what is done about it.

use serde_json::Value;

use super::Config;

impl Config {
    /// What is shown of this configuration where that of the start runs on in the tables that only a restart changes.
    pub fn effective_after_reload(&self, running: &Self) -> Value {
        let mut effective = self.effective.clone();
        for table in ["server", "log", "listeners", "admin"] {
            effective[table] = running.effective[table].clone();
        }
        effective["server"]["watch"] = self.watch.into();
        effective["revocations"]["entries"] = running.revocations.entries.into();
        effective
    }

    /// The tables in which this configuration differs from the `running` one without effect before a restart.
    pub fn restart_only_changes(&self, running: &Self) -> Vec<&'static str> {
        let differences = [
            ("server", self.workers != running.workers || self.drain != running.drain),
            ("store", self.store != running.store),
            ("log", self.log_subject != running.log_subject),
            ("revocations.entries", self.revocations.entries != running.revocations.entries),
            ("listeners", self.listeners != running.listeners),
            ("admin", self.admin != running.admin),
        ];
        differences.into_iter().filter(|(_, is_different)| *is_different).map(|(name, _)| name).collect()
    }
}
