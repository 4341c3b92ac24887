//! rillgate: a TLS-terminating gateway in front of Server-Sent Events producers.
//!
//! One upstream connection per stream is shared by all clients of that stream, over HTTP/1.1 and HTTP/2; tokens are
//! checked, and a bounded event log lets clients resume. ARCHITECTURE.md is the map; start reading at [`Gateway`].

pub mod admin;
mod arithmetic;
mod aside;
pub mod auth;
pub mod backoff;
mod binding;
mod chance;
pub mod config;
pub mod demo;
mod descriptors;
mod explanation;
pub mod files;
mod gateway;
pub mod http;
mod introspection;
mod keeper;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod panics;
pub mod route;
pub mod secret;
mod serving;
mod spoken;
pub mod sse;
pub mod store;
pub mod stream;
pub mod tasks;
pub mod telemetry;
pub mod upstream;
pub mod workers;

pub use binding::BindError;
pub use explanation::Explanation;
pub use gateway::{Drained, Gateway, Handle, Stage};
pub use http::StaticPage;
pub use serving::BuildError;
