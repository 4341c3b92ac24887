//! TLS of a listener: its configuration and certificates, handshakes, and encrypted connections.
//!
//! | file | contents |
//! |---|---|
//! | [`config`] | rustls' configuration, rebuilt when files change |
//! | [`certificates`] | loading certificates and choosing one by server name |
//! | [`handshake_log`] | log lines about refused handshakes |
//! | [`stream`] | one connection: the handshake and the records after it |

mod certificates;
mod config;
mod handshake_log;
mod stream;

pub use certificates::{CertificateError, load as load_certificate, read_certificates};
pub use config::{Tls, TlsError};
pub use handshake_log::HandshakeLog;
pub(super) use stream::{ReceivedHello, TlsStream};

// `stream` refers to it as `super::send`, because the fuzz crate compiles that folder on its own.
use super::send;
