//! The composition root: a configuration becomes parts, and the parts a running gateway. The parts meet here alone.
//!
//! ```text
//!  Config ──▶ build ──▶ state ◀── run ──┬─▶ sockets      (bound, or inherited)
//!                             ├─▶ refresh      (keys, revocations, certificates)
//!                             ├─▶ maintenance  (gauges, expiry)
//!                             └─▶ admin_api    (what the admin port shows and changes)
//! ```

mod admin_api;
mod build;
mod explain;
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
