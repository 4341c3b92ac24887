//! Streams, tickets and revocations that several gateways share through an engine.
//!
//! The log is the lock: the engine accepts a record only after the one that its writer saw last. So a gateway that was
//! overtaken is refused, whatever its clock says, and no reader is told an event before the engine has stored it.
//!
//! ```text
//!  Cluster::start(engine, settings, observer, tasks) ──▶ Arc<Cluster> ──▶ Streams::with_shared_logs(cluster)
//! ```

mod beat;
mod context;
mod engine;
#[cfg(test)]
mod fake;
mod following;
mod keys;
mod limited_log;
mod log_reader;
mod member;
mod member_task;
mod message;
#[cfg(feature = "cluster")]
mod nats;
mod nodes;
mod observer;
mod owner;
mod owning;
mod phases;
mod record;
mod release;
mod requests;
mod revocations;
mod service;
mod settings;
mod tickets;

pub use beat::{Beat, StreamCounts};
pub use engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineErrorKind, EngineState, LiveRecord, LogId,
    Question, Stored,
};
pub use keys::ClusterKeys;
#[cfg(feature = "cluster")]
pub use nats::{NatsEngine, ReplicaReport, StreamReport};
pub use nodes::NodeView;
pub use observer::{ClaimResult, ClusterErrorKind, ClusterObserver, ResetCause, ResyncCause};
pub use record::RecordError;
pub use revocations::ClusterRevocations;
pub use service::{Cluster, NodeSettings};
pub use settings::{ClusterName, ClusterSettings, EngineCredentials, EngineTls, EngineUrl};
pub use tickets::ClusterTickets;

#[cfg(test)]
mod tests;
