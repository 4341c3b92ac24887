//! The sockets of a configuration: those of the listeners, with their TLS, and that of the admin port.
//!
//! Every possible error occurs here, before anything is accepted. Does not accept connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::build::BuildError;
use crate::listen::{self, Address, Handover, InheritedSockets, Listener, Tls, TlsError};

/// An error that prevents the start of a gateway with a valid configuration file.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket of a listener or of the admin port cannot be bound.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address, or the name of systemd's socket.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The TLS settings of a listener are invalid.
    #[error("listener {listener}: {source}")]
    Tls {
        /// The listener's name.
        listener: String,
        /// The error in the TLS settings.
        source: TlsError,
    },
    /// The store's thread cannot be started.
    #[error("cannot start the store: {0}")]
    Store(#[source] io::Error),
    /// A part of the configuration is invalid.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Binds the listeners or takes the sockets that systemd passed, of which one listener may have several.
///
/// # Errors
/// See [`BindError`].
pub(super) fn listeners(settings: &[listen::Settings]) -> Result<Vec<Listener>, BindError> {
    let mut passed = None;
    let mut listeners = Vec::new();
    for settings in settings {
        let (place, sockets) = match &settings.address {
            Address::Socket(address) => {
                (address.to_string(), listen::bind(*address, settings.reuse_port).map(|socket| vec![socket]))
            }
            Address::Systemd(name) => {
                // Taken from the environment only where a listener uses them, because that changes the environment.
                let passed = passed.get_or_insert_with(InheritedSockets::from_env);
                (format!("socket {name:?} of systemd"), passed.take(name))
            }
        };
        let refused = |source| BindError::Listen { address: place.clone(), source };
        let sockets = sockets.map_err(refused)?;
        let tls = settings.tls.as_ref().map(|tls| Tls::load(tls.clone()).map(Arc::new)).transpose();
        let tls = tls.map_err(|source| BindError::Tls { listener: settings.name.clone(), source })?;
        for socket in sockets {
            listeners.push(Listener::new(settings.clone(), socket, tls.clone()).map_err(refused)?);
        }
    }
    for name in passed.iter().flat_map(InheritedSockets::remaining) {
        warn!(name, "systemd passed a socket that no listener uses");
    }
    Ok(listeners)
}

/// The admin port's socket.
pub(super) enum AdminSocket {
    /// Bound by this process.
    Bound(TcpListener),
    /// Still held by the process that this one replaces.
    Taken(SocketAddr),
}

impl AdminSocket {
    /// Binds the socket. Where a process can be replaced while it drains, the address may be in use until that process
    /// exits; the socket is then bound later and does not prevent the start.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(super) fn bind(address: SocketAddr, listeners: &[Listener]) -> Result<Self, BindError> {
        let can_be_replaced =
            listeners.iter().any(|listener| Handover::for_listener(listener.settings()).has_successor());
        match listen::bind(address, false) {
            Ok(socket) => Ok(Self::Bound(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && can_be_replaced => {
                info!(%address, "the admin port is in use by another process: it opens when that process has exited");
                Ok(Self::Taken(address))
            }
            Err(source) => Err(BindError::Listen { address: address.to_string(), source }),
        }
    }

    /// Returns the present or future address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bound(socket) => socket.local_addr().ok(),
            Self::Taken(address) => Some(*address),
        }
    }

    /// Waits until the socket is bound and returns it. Cancel-safe.
    pub(super) async fn ready(self) -> TcpListener {
        match self {
            Self::Bound(socket) => socket,
            Self::Taken(address) => loop {
                if let Ok(socket) = listen::bind(address, false) {
                    return socket;
                }
                sleep(RETRY_INTERVAL).await;
            },
        }
    }
}

/// The time between two attempts to bind an address that is in use.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
