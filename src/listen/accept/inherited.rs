//! Listening sockets that systemd made and passed on (`sd_listen_fds(3)`), by the names it gave them.
//!
//! A name may stand for several sockets, such as one for IPv4 and one for IPv6. Each socket is taken once in the life of
//! the process. The sockets outlive us in systemd's hands, so nothing here closes a queue of connections.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// Where systemd says what the sockets are called, separated by colons.
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// What it calls a socket that has no name of its own.
const DEFAULT_NAME: &str = "unknown";

/// The sockets that have been passed and not been taken yet.
pub struct InheritedSockets {
    sockets: ListenFd,
    /// The name of each, in order; absent once it has been taken.
    names: Vec<Option<String>>,
}

impl InheritedSockets {
    /// Those named in the environment, for this process (`LISTEN_PID`). To be called while the process has one thread:
    /// the environment is cleared of them.
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
    /// `NotFound` where there is none; `InvalidInput` where one is not a TCP socket that listens.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<TcpListener>> {
        let mut taken = Vec::new();
        for index in 0..self.names.len() {
            if self.names[index].as_deref() != Some(name) {
                continue;
            }
            self.names[index] = None;
            let Some(socket) = self.sockets.take_tcp_listener(index)? else { continue };
            if !SockRef::from(&socket).is_listener()? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
            }
            taken.push(socket);
        }
        if taken.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "systemd passed no socket of this name"));
        }
        Ok(taken)
    }

    /// The names of those that nobody has taken.
    pub fn remaining(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }
}
