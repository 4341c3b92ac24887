//! Streams opened by `POST`: a producer that is asked once, whoever reads its answer.
//!
//! Always true: each test has a producer and a gateway of its own, which end with it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod answers;
mod breaks;
mod configuration;
mod fixture;
mod hostile;
mod hostile_clients;
mod hostile_upstreams;
mod official_clients;
mod producer;
mod refusals;
mod restarts;
mod secrecy;
#[cfg(feature = "cluster")]
mod several_gateways;
mod sharing;
mod stream_urls;
#[path = "../gateway/support/mod.rs"]
mod support;
