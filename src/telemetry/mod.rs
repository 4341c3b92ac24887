//! Metrics for machines and log lines for people.
//!
//! Each fact is one call, named for the fact. Each label is an enum or a `&'static str`, so that no text from the
//! network becomes a label. Knows nothing else in the crate and opens no socket: the admin port serves the rendered
//! metrics.

mod buffered;
mod catalogue;
mod cluster;
mod delivery_metrics;
mod family;
mod forward;
mod label;
mod line_limiter;
mod listener;
mod log_queue;
pub mod logging;
mod metrics;
mod process;
mod registry;
mod route;
mod shares;
mod store;

pub use cluster::{ClusterMetrics, ClusterRole};
pub use forward::ForwardMetrics;
pub use label::{CodingLabel, EndReason, Protocol, Room, StreamState, VerdictLabel};
pub use listener::ListenerMetrics;
pub use log_queue::{FlushOnDrop, LineWriter, LogQueue};
pub use logging::ACCESS;
pub use metrics::Metrics;
pub use route::{RouteMetrics, RouteTotals};
pub use shares::ShareMetrics;
pub use store::StoreMetrics;
