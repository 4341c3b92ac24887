//! How many files the process may open: as many as the system allows it.
//!
//! Always true: it is said when that is too few, as a warning where the configuration asks for more. Opens nothing itself.

use tracing::{info, warn};

use crate::limits::Limits;

/// Raises the soft limit on open files to the hard one, and says so when that is not enough for the limits. `asked` is how
/// many connections and streams the operator has asked for: defaults are no promise that somebody made.
pub fn raise(limits: &Limits, asked: usize) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => usize::try_from(allowed).unwrap_or(usize::MAX),
        Err(error) => return warn!(%error, "the limit on open files cannot be raised"),
    };
    let room = allowed.saturating_sub(OTHERS);
    if asked > room {
        warn!(
            open_files = allowed,
            asked, room, "limits.connections and limits.streams ask for more open files than the process may have"
        );
    } else if limits.connections.saturating_add(limits.streams) > room {
        info!(
            open_files = allowed,
            room, "connections and streams are bounded by the open files that the process may have"
        );
    }
}

/// Files beside the clients' connections and the upstreams': listeners, logs, files that are read.
const OTHERS: usize = 64;
