//! The registry of streams under every order of events that a scheduler draws: the last reader leaves while the first of
//! the next ones joins, while the ingest reconnects, while a reload changes what is kept open.
//!
//! The modules are the gateway's own sources, compiled against a runtime and locks that shuttle schedules. Time does not
//! pass in it: every delay may be over at any moment, so that a linger or a backoff ends wherever it hurts most.

pub mod runtime;
#[path = "../../../src/sse/mod.rs"]
pub mod sse;
#[path = "../../../src/stream/mod.rs"]
pub mod stream;
