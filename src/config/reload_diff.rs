//! Settings that a reload cannot change, such as listeners and worker threads.
//!
//! This file compares configurations. The gateway decides what to do about a difference.

use serde_json::Value;

use super::Config;
use crate::cluster::ClusterSettings;

impl Config {
    /// Returns the effective configuration after a reload from `running` to this one: tables that change only at a restart
    /// are taken from `running`.
    pub fn effective_after_reload(&self, running: &Self) -> Value {
        let mut effective = self.effective.clone();
        for table in ["server", "log", "listeners", "admin", "cluster"] {
            effective[table] = running.effective[table].clone();
        }
        effective["server"]["watch"] = self.watch.into();
        effective["revocations"]["entries"] = running.revocations.entries.into();
        effective
    }

    /// Returns the tables in which this configuration differs from `running` and which change only at a restart.
    pub fn restart_only_changes(&self, running: &Self) -> Vec<&'static str> {
        let differences = [
            ("server", self.workers != running.workers || self.drain != running.drain),
            ("store", self.store != running.store),
            ("cluster", !is_same_cluster(self.cluster.as_ref(), running.cluster.as_ref())),
            ("log", self.log_subject != running.log_subject),
            ("revocations.entries", self.revocations.entries != running.revocations.entries),
            ("listeners", self.listeners != running.listeners),
            ("admin", self.admin != running.admin),
        ];
        differences.into_iter().filter(|(_, is_different)| *is_different).map(|(name, _)| name).collect()
    }
}

fn is_same_cluster(new: Option<&ClusterSettings>, running: Option<&ClusterSettings>) -> bool {
    match (new, running) {
        (None, None) => true,
        (Some(new), Some(running)) => new.is_covered_by(running),
        (Some(_), None) | (None, Some(_)) => false,
    }
}
