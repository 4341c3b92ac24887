//! Listening sockets that systemd passed (`sd_listen_fds(3)`), by name.
//!
//! Several sockets may have one name, such as one for IPv4 and one for IPv6. Each socket can be taken once. systemd
//! keeps the sockets open, so closing them here resets no queued connections.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// The environment variable with the names, separated by colons.
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// systemd's name for a socket without a name of its own.
const DEFAULT_NAME: &str = "unknown";

/// The passed sockets that have not been taken yet.
pub struct InheritedSockets {
    sockets: ListenFd,
    /// The name of each socket, in order. `None` once it has been taken.
    names: Vec<Option<String>>,
}

impl InheritedSockets {
    /// Reads the sockets passed to this process (`LISTEN_PID`) from the environment, and clears the variables. Call it
    /// while the process has one thread.
    pub fn from_env() -> Self {
        let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
        let sockets = ListenFd::from_env();
        let mut names: Vec<Option<String>> =
            names.split(':').filter(|name| !name.is_empty()).map(|name| Some(name.to_owned())).collect();
        names.resize(sockets.len(), Some(DEFAULT_NAME.to_owned()));
        Self { sockets, names }
    }

    /// Takes the sockets of this name.
    ///
    /// # Errors
    /// Returns `NotFound` if there is none, and `InvalidInput` if one is not a listening TCP socket.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<TcpListener>> {
        let mut taken = Vec::new();
        for index in 0..self.names.len() {
            if self.names[index].as_deref() != Some(name) {
                continue;
            }
            self.names[index] = None;
            let Some(socket) = self.sockets.take_tcp_listener(index)? else { continue };
            if !SockRef::from(&socket).is_listener()? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is not listening"));
            }
            taken.push(socket);
        }
        if taken.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "systemd passed no socket with this name"));
        }
        Ok(taken)
    }

    /// Returns the names of the sockets that have not been taken.
    pub fn remaining(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }
}
