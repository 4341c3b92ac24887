//! The engine by itself, against a real nats-server: what the protocol relies on.

pub mod access;
mod auth_records;
mod connection;
pub mod fixture;
mod log_lines;
mod logs;
mod messages;
pub mod operator;
mod quorum;
mod streams;
mod tls;
