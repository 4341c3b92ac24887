//! The composition root: builds the parts from a configuration, connects them and runs them. Parts meet only here.
//!
//! ```text
//!  Config ──▶ build ──▶ state ◀── run ──┬─▶ sockets      (bound, or inherited)
//!                             ├─▶ refresh      (keys, revocations, certificates)
//!                             └─▶ maintenance  (gauges, expiry)
//! ```

mod build;
mod explain;
mod gauges;
mod live_upstreams;
mod maintenance;
mod refresh;
mod run;
mod sockets;
mod state;

pub use build::BuildError;
pub use explain::Explanation;
pub use run::{Drained, Gateway};
pub use sockets::BindError;
pub use state::{Handle, Stage};
