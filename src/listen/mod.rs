//! Sockets in.

mod settings;

pub use settings::{Address, CertificateFiles, Settings, TlsSettings, TlsVersion};
