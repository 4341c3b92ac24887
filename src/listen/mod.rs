//! Listeners: accepting connections within limits, TLS, and serving HTTP/1 and HTTP/2 until they drain.
//!
//! Generic over the service: nothing here knows what is served.
//!
//! A connection's way through the folders:
//!
//! ```text
//! accept::Listener ─► connection ─► proxy ─► tls ─┬─► http1 ─► ConnectionTask of a streaming response
//!   limits, dispatch    (in its own task)         └─► http2
//! ```

mod accept;
mod client_faults;
mod connection;
mod connection_task;
mod context;
mod drain;
mod http1;
mod http2;
mod protocol_errors;
mod proxy;
mod request_body;
mod send;
mod service;
mod settings;
mod timeouts;
mod tls;
mod transport;

pub use accept::{AcceptLimits, Handover, InheritedSockets, Listener, RateLimiter, bind};
pub use connection_task::ConnectionTask;
pub use context::ListenerContext;
pub use http1::{Handoff, Prelude, PreludeBody};
pub use proxy::TrustedProxies;
pub use request_body::{RequestBody, RequestBodyError};
pub use service::{DEADLINE_INTERVAL, IncomingRequest, Peer, ResponseBody, Service};
pub use settings::{Address, CertificateFiles, ClientAddress, Settings, TlsSettings, TlsVersion};
pub use tls::{CertificateError, HandshakeLog, Tls, TlsError, load_certificate, read_certificates};
pub use transport::Transport;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod handoff_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod panics_tests;
#[cfg(test)]
mod turns_tests;
