//! rillgate: a TLS-terminating gateway in front of Server-Sent Events producers.

pub mod admin;
pub mod auth;
pub mod backoff;
pub mod config;
pub mod demo;
pub mod files;
pub mod http;
pub mod limits;
pub mod listen;
pub mod route;
pub mod secret;
pub mod sse;
pub mod stream;
pub mod tasks;
pub mod telemetry;
pub mod upstream;
pub mod workers;
