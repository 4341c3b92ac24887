//! Streams, tickets and revocations that several gateways share through an engine.
//!
//! The log is the lock: the engine accepts a record only after the one that its writer saw last. So a gateway that was
//! overtaken is refused, whatever its clock says, and no reader is told an event before the engine has stored it.

mod engine;
#[cfg(test)]
#[allow(dead_code, reason = "the model test of the protocol, which follows, uses all of it")]
mod fake;
#[allow(dead_code, reason = "the state machine of a stream, which follows, is what uses it")]
mod keys;
#[cfg(feature = "cluster")]
mod nats;
mod observer;
#[allow(dead_code, reason = "the state machine of a stream, which follows, is what uses it")]
mod record;
mod settings;

pub use engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineErrorKind, EngineState, LiveRecord, LogId,
    Question, Stored,
};
pub use keys::ClusterKeys;
#[cfg(feature = "cluster")]
pub use nats::NatsEngine;
pub use observer::{ClaimResult, ClusterErrorKind, ClusterObserver, ResetCause, ResyncCause};
pub use record::RecordError;
pub use settings::{ClusterName, ClusterSettings, EngineCredentials, EngineTls, EngineUrl};
