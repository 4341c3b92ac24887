//! How many files the process may open: as many as the system allows it.
//!
//! Always true: it is said when that is too few for what is configured. Opens nothing itself.

use tracing::warn;

use crate::limits::Limits;

/// Raises the soft limit on open files to the hard one, and says so when that is not enough for what is configured.
pub fn raise(limits: &Limits) {
    // Beside the clients' connections and the upstreams': listeners, logs, files that are read.
    const OTHERS: usize = 64;
    let wanted = (limits.connections + limits.streams + OTHERS) as u64;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) if most < wanted => {
            warn!(most, wanted, "the process may open fewer files than limits.connections and limits.streams ask for");
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "the limit on open files cannot be raised"),
    }
}
