//! Listening sockets, and what is set on the sockets they accept.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel keeps for us while we are busy.
pub(in crate::listen) const BACKLOG: i32 = 4096;

/// Unsent bytes the kernel takes for a client before it says "full". Without this a client that stops reading hides
/// megabytes in the kernel before anyone notices.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Time without a byte before the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Binds and listens.
///
/// # Errors
/// What the system says, such as an address in use. Without `reuse_port` that is also so when the other socket would
/// have shared.
pub fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last life to time out.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        // "[::]:443" means IPv6, as in nginx and Envoy; who wants both has two listeners, on every system alike.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Readies an accepted connection. `stall_timeout` bounds how long sent bytes may stay unacknowledged.
///
/// # Errors
/// What the system says; the connection is of no use then.
pub fn configure(tcp: &TcpStream, stall_timeout: Duration) -> io::Result<()> {
    tcp.set_nonblocking(true)?;
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
    socket.set_tcp_user_timeout(Some(stall_timeout))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}
