//! The configuration file: TOML text → the file as written → believed values.
//!
//! [`Config`] holds only values that have been checked: URLs parsed, durations bounded, names resolved, files read.
//! Each module owns its settings type; this one only knows how to make them from TOML. Nothing below the gateway
//! mentions this module.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::IssuerSettings;
use crate::limits::Limits;
use crate::upstream::Target;
use crate::{listen, route};

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads, each with its own runtime. Never 0 here: `workers = 0` has become the number of cores.
    pub workers: usize,
    /// How the gateway leaves.
    pub drain: Drain,
    /// Whether access lines carry the token's subject.
    pub log_subject: bool,
    /// Where clients come in. Never empty.
    pub listeners: Vec<listen::Settings>,
    /// The operator's port. `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// How much of each thing is let in.
    pub limits: Limits,
    /// Who signs tokens, by name.
    pub issuers: BTreeMap<String, Arc<IssuerSettings>>,
    /// Where events come from, by name.
    pub upstreams: BTreeMap<String, Arc<Target>>,
    /// What is served.
    pub routes: Vec<Arc<route::Settings>>,
    /// What is refused although its token is good.
    pub revocations: Revocations,
}

/// Three durations, three questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Has the balancer looked away? Time between "not ready" and the first response ended. Default 0.
    pub notice: Duration,
    /// How slowly may clients leave? Default 5 s.
    pub spread: Duration,
    /// When do we stop being polite? Counted from the end of the notice. Default 30 s.
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { notice: Duration::ZERO, spread: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}

/// `[revocations]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    /// A file of revocations, read at start and when it changes.
    pub file: Option<PathBuf>,
    /// Most entries held. Default 100 000.
    pub entries: usize,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { file: None, entries: 100_000 }
    }
}
