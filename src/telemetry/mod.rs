//! What rillgate says about itself: metrics for machines, log lines for people.
//!
//! Every fact is one call, named for the fact; every label is an enum or a `&'static str`, so that nothing from the
//! network becomes a label. Knows nothing else in the crate, and opens no socket: the admin port serves what is
//! rendered here.

mod buffered;
mod catalogue;
mod family;
mod label;
mod listener;
pub mod logging;
mod metrics;
mod process;
mod registry;
mod route;
mod store;

pub use label::{EndReason, Protocol, StreamState, VerdictLabel};
pub use listener::ListenerMetrics;
pub use logging::ACCESS;
pub use metrics::Metrics;
pub use route::{RouteMetrics, RouteTotals};
pub use store::StoreMetrics;
