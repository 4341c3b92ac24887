//! The tests of one gateway, run with three that share every stream, behind HAProxy in round robin.
//!
//!     cargo test --test cluster_suite -- --test-threads=8                         most tests wait for timers
//!     RILLGATE_GATEWAYS=1 cargo test --test cluster_suite -- --test-threads=8     one gateway with a shared log
//!
//! The tests are those of `tests/gateway`, unchanged; only their tools differ. `left_out.rs` lists what does not run here,
//! or with one gateway, with the reasons.

#![cfg(feature = "cluster")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod balanced;
#[path = "../gateway/conformance.rs"]
mod conformance;
#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../gateway/drain.rs"]
mod drain;
#[path = "../gateway/endings.rs"]
mod endings;
#[path = "../gateway/fanout.rs"]
mod fanout;
#[path = "../gateway/finite.rs"]
mod finite;
#[path = "../gateway/gathering.rs"]
mod gathering;
#[path = "../gateway/id_forms.rs"]
mod id_forms;
#[path = "../gateway/kills.rs"]
mod kills;
mod left_out;
#[path = "../gateway/pending.rs"]
mod pending;
#[path = "../gateway/read_through.rs"]
mod read_through;
#[path = "../gateway/reload_in_place.rs"]
mod reload_in_place;
#[path = "../gateway/resume.rs"]
mod resume;
#[path = "../gateway/retry_after.rs"]
mod retry_after;
#[path = "../gateway/returning.rs"]
mod returning;
#[path = "../gateway/slow_reader.rs"]
mod slow_reader;
#[path = "../gateway/stuck.rs"]
mod stuck;
mod support;
#[path = "../gateway/too_large.rs"]
mod too_large;
#[path = "../gateway/upstream.rs"]
mod upstream;
#[path = "../gateway/upstream_failure.rs"]
mod upstream_failure;
#[path = "../gateway/upstream_heads.rs"]
mod upstream_heads;
#[path = "../gateway/upstream_overlap.rs"]
mod upstream_overlap;
#[path = "../gateway/upstream_reconnect.rs"]
mod upstream_reconnect;
#[path = "../gateway/upstream_requests.rs"]
mod upstream_requests;
#[path = "../gateway/upstream_secrets.rs"]
mod upstream_secrets;
#[path = "../gateway/upstream_silence.rs"]
mod upstream_silence;
#[path = "../gateway/upstream_table.rs"]
mod upstream_table;
#[path = "../gateway/upstream_token.rs"]
mod upstream_token;
#[path = "../gateway/watching.rs"]
mod watching;
