//! How a listening socket is left to another process without losing a connection.
//!
//! A socket with `SO_REUSEPORT` has a queue of its own in the kernel, and closing it resets what is in it. So new
//! handshakes are turned away first, which their clients repeat a second later and then meet the other process; those
//! under way are finished and accepted; then the socket is closed. A socket that systemd passed has one queue for all
//! processes and is only let go. Knows nothing of what is accepted.

use std::io;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::warn;

use crate::listen::settings::{Address, Settings};

/// How long handshakes under way have. Below the second after which clients repeat a handshake that was turned away
/// (RFC 6298, 2.1), so that they are kept waiting once and not twice.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(750);

/// What happens to a listening socket when its process leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Nobody else listens: closed when its queue is empty.
    None,
    /// Other processes have sockets of their own at the same address.
    ReusePort,
    /// Other processes have the same socket.
    Inherited,
}

impl Handover {
    /// How this listener is handed over.
    pub fn for_listener(settings: &Settings) -> Self {
        match settings.address {
            Address::Systemd(_) => Self::Inherited,
            Address::Socket(_) if settings.reuse_port => Self::ReusePort,
            Address::Socket(_) => Self::None,
        }
    }

    /// Whether another process may take the clients that come from now on.
    pub fn has_successor(self) -> bool {
        self != Self::None
    }

    /// Whether the process has to take what is in the queue, since nobody else can.
    pub fn has_own_queue(self) -> bool {
        self != Self::Inherited
    }

    /// Completes when the socket may be closed, once its queue has been emptied. To be accepted from meanwhile.
    pub async fn before_close(self, socket: &TcpListener) {
        if self != Self::ReusePort {
            return;
        }
        if let Err(error) = drop_new_handshakes(socket) {
            return warn!(%error, "connections that come while the listener is handed over may be reset");
        }
        sleep(HANDSHAKE_GRACE).await;
    }
}

/// Lets the kernel drop segments that begin a connection: SYN without ACK, in the fourteenth byte of the TCP header
/// (RFC 9293, 3.1). Connections that are accepted from now on inherit the filter, which is of no consequence: on them
/// such a segment means nothing.
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
    async fn a_socket_that_is_left_takes_no_new_connection_and_keeps_those_it_has() {
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
