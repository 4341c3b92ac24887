//! The registry of streams under many schedules: the last reader leaves while another joins, while the ingest
//! reconnects, and while a reload changes which streams stay open.
//!
//! The modules are the gateway's own sources, compiled against a runtime and locks that shuttle schedules. Time does
//! not pass: any delay may end at any moment, so a linger or a backoff can end at the worst possible time.

#![allow(unused_imports, reason = "the gateway re-exports items for folders that are not here")]

#[path = "../../../src/coding/mod.rs"]
pub mod coding;
#[path = "../../../src/limits.rs"]
pub mod limits;
pub mod runtime;
#[path = "../../../src/sse/mod.rs"]
pub mod sse;
#[path = "../../../src/stream/mod.rs"]
pub mod stream;
