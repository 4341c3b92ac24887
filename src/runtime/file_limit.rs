//! The process's limit on open files, raised to the maximum that the system allows.
//!
//! A limit that is too low is always logged, as a warning where the configuration asks for more. Opens no file itself.

use tracing::{info, warn};

use crate::limits::Limits;

/// Raises the soft limit on open files to the hard limit, and logs when that does not cover `limits`. `asked` is the
/// number of connections and streams that the operator configured. It does not include defaults, which do not justify a
/// warning.
pub fn raise(limits: &Limits, asked: usize) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => usize::try_from(allowed).unwrap_or(usize::MAX),
        Err(error) => return warn!(%error, "cannot raise the limit on open files"),
    };
    let room = allowed.saturating_sub(OTHERS);
    if asked > room {
        warn!(
            open_files = allowed,
            asked, room, "limits.connections and limits.streams exceed the limit on open files"
        );
    } else if limits.connections.saturating_add(limits.streams) > room {
        info!(open_files = allowed, room, "the limit on open files bounds connections and streams");
    }
}

/// Returns the limit on open files that [`raise`] can reach, or `usize::MAX` if the system does not report it.
pub fn allowed() -> usize {
    let limit = rlimit::Resource::NOFILE.get_hard().unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Files beside client and upstream connections: listeners, logs, configuration files.
const OTHERS: usize = 64;
