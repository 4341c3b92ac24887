//! Forwarded requests: a real Express application behind the gateway, over HTTP/1.1 and HTTP/2.
//!
//! Always true: each test has an application and a gateway of its own, which end with it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod bodies;
mod configuration;
mod exchanges;
mod expectations;
mod failures;
mod fixture;
mod smuggling;
mod spellings;
#[path = "../gateway/support/mod.rs"]
mod support;
mod tokens;
mod upgrades;
mod websocket_streams;
