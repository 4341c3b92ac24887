//! What a reload cannot change: sockets, limits and threads are those of the start.
//!
//! Compares, and names what differs. Does not know what is done about it.

use super::Config;

impl Config {
    /// The tables in which this configuration differs from the `running` one without effect before a restart.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let differences = [
            ("server", self.workers != running.workers || self.drain != running.drain),
            ("store", self.store != running.store),
            ("log", self.log_subject != running.log_subject),
            ("revocations.entries", self.revocations.entries != running.revocations.entries),
            ("listeners", self.listeners != running.listeners),
            ("admin", self.admin != running.admin),
            ("limits", self.limits != running.limits),
        ];
        differences.into_iter().filter(|(_, is_different)| *is_different).map(|(name, _)| name).collect()
    }
}
