//! The composition root: builds the parts from a configuration, connects them and runs them. Parts meet only here.
//!
//! ```text
//!  Config ──▶ build ──▶ state ◀── run ──┬─▶ sockets      (bound, or inherited)
//!                             ├─▶ cluster      (the engine that gateways share)
//!                             ├─▶ refresh      (keys, revocations, certificates)
//!                             └─▶ maintenance  (gauges, expiry)
//! ```

mod build;
mod cluster;
mod cluster_status;
#[cfg(feature = "cluster")]
mod engine_client;
mod explain;
mod gauges;
mod live_upstreams;
mod maintenance;
mod probe;
mod refresh;
mod run;
mod sockets;
mod state;

pub use build::BuildError;
pub use cluster_status::{ClusterStatus, NodeStatus};
pub use explain::Explanation;
pub use probe::Probe;
pub use run::{Drained, Gateway};
pub use sockets::BindError;
pub use state::{Handle, Stage};
