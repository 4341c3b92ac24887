//! Sockets in: accepted within limits, told apart, served by hyper, ended gracefully.
//!
//! Generic over the service: nothing here knows what is served.

mod abort;
mod accept_limits;
mod admission;
mod certificates;
mod connection;
mod connection_task;
mod cork;
mod h2_stream;
mod handoff;
mod handover;
mod handshake_log;
mod http2;
mod inherited;
mod listener;
mod protocol_errors;
mod proxy_header;
mod proxy_reader;
mod rate_limiter;
mod resets;
mod send;
mod send_window;
mod settings;
mod socket;
mod timeouts;
mod tls;
mod tls_stream;
mod tracked_body;
mod transport;
mod trusted;

pub use abort::watch;
pub use accept_limits::AcceptLimits;
pub use admission::{Admission, network};
pub use certificates::{CertificateError, load as load_certificate, read_certificates};
pub use connection::{Peer, RequestBodyInfo, ResponseBody, Service};
pub use connection_task::ConnectionTask;
pub use handoff::{Handoff, HandoffFn};
pub use handover::Handover;
pub use handshake_log::HandshakeLog;
pub use inherited::InheritedSockets;
pub use listener::{Listener, ListenerContext};
pub use rate_limiter::RateLimiter;
pub use settings::{Address, CertificateFiles, Settings, TlsSettings, TlsVersion};
pub use socket::listen;
pub use tls::{Tls, TlsError};
pub use transport::Transport;
pub use trusted::TrustedProxies;

#[cfg(test)]
mod panics_tests;
