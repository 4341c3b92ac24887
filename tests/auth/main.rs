//! The verifier from outside: crafted tokens, good tokens, rules, rotating keys, revocations.
//!
//! Every key is made at run time, every server listens on port 0, and the time is an argument.

mod bad_tokens;
mod decisions;
mod good_tokens;
mod refusals;
mod rotation;
mod support;
