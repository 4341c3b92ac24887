//! Several gateways and their engine, a real nats-server.
//!
//!     cargo test --test cluster                                                    everything
//!     RILLGATE_NATS_SERVER=target/tools/nats-2.11.11/bin/nats-server cargo test --test cluster    with an older engine
//!
//!     cargo test --test cluster system:: -- --nocapture                            failures, with figures
//!
//! Always true: each test has servers of its own, which end with it.

#![cfg(feature = "cluster")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod auth;
mod bad_input;
mod demo;
mod engine;
mod gateways;
mod operation;
mod outcomes;
#[path = "../gateway/support/mod.rs"]
mod support;
mod system;
