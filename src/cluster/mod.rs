//! Streams, tickets and revocations that several gateways share through an engine.
//!
//! The log is the lock: the engine accepts a record only after the one that its writer saw last. So a gateway that was
//! overtaken is refused, whatever its clock says, and no reader is told an event before the engine has stored it.

mod engine;

pub use engine::{
    AppendError, AuthKey, AuthKind, AuthRecord, Engine, EngineError, EngineErrorKind, EngineState, LiveRecord, LogId,
    Question, Stored,
};
