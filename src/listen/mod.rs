//! Sockets in: accepted within limits, told apart, served by hyper, ended gracefully.
//!
//! Generic over the service: nothing here knows what is served.

mod admission;
mod carrier;
mod certificates;
mod connection;
mod doors;
mod exchange;
mod gathered;
mod guarded;
mod handover;
mod handshake_log;
mod http2;
mod listener;
mod pace;
mod passed;
mod proxied;
mod proxy_header;
mod rate;
mod resets;
mod send;
mod send_window;
mod settings;
mod socket;
mod supervise;
mod takeover;
mod tls;
mod tls_stream;
mod transport;
mod trusted;
mod unserved;

pub use admission::{Admission, network};
pub use carrier::ConnectionTask;
pub use certificates::{CertificateError, load as load_certificate, read_certificates};
pub use connection::{Peer, RequestBodyInfo, ResponseBody, Service};
pub use doors::AcceptLimits;
pub use handover::Handover;
pub use handshake_log::HandshakeLog;
pub use listener::{Listener, ListenerContext};
pub use passed::InheritedSockets;
pub use rate::RateLimiter;
pub use settings::{Address, CertificateFiles, Settings, TlsSettings, TlsVersion};
pub use socket::listen;
pub use supervise::watch;
pub use takeover::{Handoff, HandoffFn};
pub use tls::{Tls, TlsError};
pub use transport::Transport;
pub use trusted::TrustedProxies;

#[cfg(test)]
mod panics_tests;
