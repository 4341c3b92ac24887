//! Authorization through the real gateway over TLS: admission, and the end of a response with its token.
//!
//! The crafted tokens and the keys are shared with `tests/auth`. The tests see only responses,
//! the requests that the origin received, the log and the metrics.

mod browsers;
mod catalogue;
mod commands;
mod crafted;
mod decisions;
mod expiry;
pub mod fixture;
mod keys;
mod parameters;
mod reload;
mod revocations;
mod rotation;
mod secrecy;
mod subjects;
mod tickets;
mod token_locations;
mod wall_clock;

#[path = "../auth/bad_tokens/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the module")]
mod bad_tokens;
#[path = "../auth/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the module")]
mod support;
