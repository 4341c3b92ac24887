//! Sockets of a configuration: those of the listeners, with their TLS, and the admin port's.
//!
//! Everything that can fail about them fails here, before anything is accepted. What others do with them is not known
//! here.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::build::BuildError;
use crate::listen::{self, Address, Handover, InheritedSockets, Listener, Tls, TlsError};

/// Why a gateway cannot start although its configuration can be read.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address, or the name of systemd's socket.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// TLS cannot be spoken as configured.
    #[error("listener {listener}: {source}")]
    Tls {
        /// The listener's name.
        listener: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The store's thread cannot be started.
    #[error("the store cannot be started: {0}")]
    Store(#[source] io::Error),
    /// A part cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Binds the listeners, or takes the sockets that systemd passed; of these one listener may have several.
///
/// # Errors
/// See [`BindError`].
pub fn listeners(settings: &[listen::Settings]) -> Result<Vec<Listener>, BindError> {
    let mut passed = None;
    let mut listeners = Vec::new();
    for settings in settings {
        let (place, sockets) = match &settings.address {
            Address::Socket(address) => {
                (address.to_string(), listen::bind(*address, settings.reuse_port).map(|socket| vec![socket]))
            }
            Address::Systemd(name) => {
                // Looked for only where they are wanted: taking them changes the environment.
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
        warn!(name, "systemd passed a socket that no listener asks for");
    }
    Ok(listeners)
}

/// The admin port's socket.
pub enum AdminSocket {
    /// Ours.
    Bound(TcpListener),
    /// Still that of the process whose place this one takes.
    Taken(SocketAddr),
}

impl AdminSocket {
    /// Binds it. Where a process can be replaced while it drains, its admin port may be in use until it has left: that is
    /// waited for and keeps nobody from starting.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub fn bind(address: SocketAddr, listeners: &[Listener]) -> Result<Self, BindError> {
        let can_be_replaced =
            listeners.iter().any(|listener| Handover::for_listener(listener.settings()).has_successor());
        match listen::bind(address, false) {
            Ok(socket) => Ok(Self::Bound(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && can_be_replaced => {
                info!(%address, "the admin port is in use by another process, and will be opened when that has left");
                Ok(Self::Taken(address))
            }
            Err(source) => Err(BindError::Listen { address: address.to_string(), source }),
        }
    }

    /// Where it is or will be.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bound(socket) => socket.local_addr().ok(),
            Self::Taken(address) => Some(*address),
        }
    }

    /// The socket, as soon as it is ours. Cancel-safe.
    pub async fn ready(self) -> TcpListener {
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

/// How often an address that is in use is tried.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
