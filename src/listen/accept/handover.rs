//! Leaves a listening socket to another process without resetting connections.
//!
//! A socket with `SO_REUSEPORT` has its own accept queue in the kernel, and closing it resets the connections in it. So
//! the kernel first drops new handshakes. Their clients retransmit after a second and then reach the other process.
//! Handshakes under way complete and are accepted, and then the socket is closed. A socket that systemd passed has one
//! queue for all processes and is just closed.

use std::io;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::warn;

use crate::listen::settings::{Address, Settings};

/// Time for handshakes under way to complete. It is shorter than the second after which clients retransmit a dropped
/// SYN (RFC 6298, 2.1), so a client waits once and not twice.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(750);

/// The way in which a listening socket passes to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// No other process listens. The socket is closed when its queue is empty.
    None,
    /// Other processes listen on the same address with sockets of their own.
    ReusePort,
    /// Other processes share this socket.
    Inherited,
}

impl Handover {
    /// Returns the handover of a configured listener.
    pub fn for_listener(settings: &Settings) -> Self {
        match settings.address {
            Address::Systemd(_) => Self::Inherited,
            Address::Socket(_) if settings.reuse_port => Self::ReusePort,
            Address::Socket(_) => Self::None,
        }
    }

    /// Returns true if another process may take clients from now on.
    pub fn has_successor(self) -> bool {
        self != Self::None
    }

    /// Returns true if only this process can accept the connections in the queue.
    pub fn has_own_queue(self) -> bool {
        self != Self::Inherited
    }

    /// Prepares the socket for closing. Accept from it meanwhile, and once more after this completes.
    pub async fn before_close(self, socket: &TcpListener) {
        if self != Self::ReusePort {
            return;
        }
        if let Err(error) = drop_new_handshakes(socket) {
            return warn!(%error, "cannot filter new handshakes: connections may be reset during the handover");
        }
        sleep(HANDSHAKE_GRACE).await;
    }
}

/// Makes the kernel drop segments that open a connection: SYN without ACK, in byte 13 of the TCP header (RFC 9293,
/// 3.1).
///
/// Connections that are accepted afterwards inherit the filter. Such segments mean nothing on them.
fn drop_new_handshakes(socket: &TcpListener) -> io::Result<()> {
    // Classic BPF: BPF_LD|BPF_B|BPF_ABS, BPF_ALU|BPF_AND|BPF_K, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN | ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_socket_being_closed_drops_new_handshakes_and_keeps_queued_connections() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let socket = TcpListener::from_std(super::super::bind(address, true).expect("a socket")).expect("a socket");
        let address = socket.local_addr().expect("an address");
        let mut early = TcpStream::connect(address).await.expect("it listens");

        drop_new_handshakes(&socket).expect("a filter");

        assert!(timeout(Duration::from_millis(300), TcpStream::connect(address)).await.is_err(), "it is turned away");
        let (mut accepted, _) = socket.accept().await.expect("it was there before");
        tokio::io::AsyncWriteExt::write_all(&mut early, b"x").await.expect("room");
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut accepted, &mut byte).await.expect("what was sent");
    }
}
