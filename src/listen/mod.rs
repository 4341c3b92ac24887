//! Sockets in: accepted within limits, told apart, served by hyper, ended gracefully.
//!
//! Generic over the service: nothing here knows what is served.

mod admission;
mod connection_task;
mod certificates;
mod connection;
mod accept_limits;
mod h2_stream;
mod cork;
mod tracked_body;
mod handover;
mod handshake_log;
mod http2;
mod listener;
mod timeouts;
mod inherited;
mod proxy_reader;
mod proxy_header;
mod rate_limiter;
mod resets;
mod send;
mod send_window;
mod settings;
mod socket;
mod abort;
mod handoff;
mod tls;
mod tls_stream;
mod transport;
mod trusted;
mod protocol_errors;

pub use admission::{Admission, network};
pub use connection_task::ConnectionTask;
pub use certificates::{CertificateError, load as load_certificate, read_certificates};
pub use connection::{Peer, RequestBodyInfo, ResponseBody, Service};
pub use accept_limits::AcceptLimits;
pub use handover::Handover;
pub use handshake_log::HandshakeLog;
pub use listener::{Listener, ListenerContext};
pub use inherited::InheritedSockets;
pub use rate_limiter::RateLimiter;
pub use settings::{Address, CertificateFiles, Settings, TlsSettings, TlsVersion};
pub use socket::listen;
pub use abort::watch;
pub use handoff::{Handoff, HandoffFn};
pub use tls::{Tls, TlsError};
pub use transport::Transport;
pub use trusted::TrustedProxies;

#[cfg(test)]
mod panics_tests;
