//! rillgate: a TLS-terminating gateway in front of Server-Sent Events producers.
//!
//! All clients of a stream share one upstream connection, over HTTP/1.1 and HTTP/2. The gateway checks tokens, and a
//! bounded event log lets clients resume. ARCHITECTURE.md is the map; start reading at [`Gateway`].

#![warn(unreachable_pub)]

pub mod admin;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod coding;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod forward;
mod gateway;
pub mod http;
pub mod limits;
pub mod listen;
pub mod route;
pub mod runtime;
pub mod secret;
pub mod sse;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod upstream;

pub use gateway::{
    BindError, BuildError, ClusterStatus, Drained, Explanation, Gateway, Handle, NodeStatus, Probe, Stage,
};
pub use http::StaticPage;
