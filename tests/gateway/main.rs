//! The gateway seen from outside, in one binary so that it is linked once.
//!
//! `support/` holds the tools, `support_tests.rs` their own tests; every other file is about one behaviour.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod accept_limits;
mod access_lines;
mod address_shares;
mod auth;
mod busy_worker;
mod chain;
mod chain_fixture;
mod chain_http2;
mod chain_load;
mod chain_restarts;
mod chain_verdicts;
mod client_address;
mod client_ids;
mod clients;
mod compatibility;
mod compression;
mod conformance;
#[path = "../corpus/mod.rs"]
mod corpus;
mod dashboard;
mod doctor;
mod doctor_fixture;
mod drain;
mod endings;
mod failover_fixture;
mod fanout;
mod finite;
mod front_proxies;
mod gathering;
mod handshakes;
mod hardening;
mod hardening_http2;
mod http2_windows;
mod id_forms;
mod kills;
mod last_event_ids;
mod limit_reload;
mod limits;
mod log_lines;
mod memory;
mod operations;
mod operator;
mod paths;
mod pending;
mod producers;
mod prometheus;
mod proxy_protocol;
mod read_through;
mod refusals;
mod reload_in_place;
mod reload_storm;
mod request_ids;
mod resume;
mod retry_after;
mod returning;
mod service_manager;
mod slow_reader;
mod sockets;
mod store;
mod stuck;
mod support;
mod support_tests;
mod tls;
mod tls_interop;
mod tls_workers;
mod too_large;
mod unread_responses;
mod upgrade;
mod upstream;
mod upstream_failure;
mod upstream_heads;
mod upstream_overlap;
mod upstream_reconnect;
mod upstream_requests;
mod upstream_secrets;
mod upstream_shares;
mod upstream_silence;
mod upstream_table;
mod upstream_token;
mod watching;
