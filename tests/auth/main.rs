//! The authorizer from outside: crafted tokens, valid tokens, rules, rotating keys, revocations.
//!
//! All keys are generated at run time, all servers listen on port 0, and the time is an argument.

mod bad_tokens;
mod decisions;
mod good_tokens;
mod key_files;
mod key_server;
mod refusals;
mod rotation;
mod support;
