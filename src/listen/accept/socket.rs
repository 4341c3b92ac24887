//! Options of listening sockets and of the sockets that they accept.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel queues until they are accepted.
pub(in crate::listen) const BACKLOG: i32 = 4096;

/// Unsent bytes that the kernel buffers for a client before the socket is full. Without this bound a client that stops
/// reading could hide megabytes in the kernel unnoticed.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Idle time before the kernel sends the first keepalive probe.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Time past the stall timeout for which the kernel keeps a connection whose client acknowledges nothing. The kernel drops
/// it without a word to the client, so the end that the gateway sends at the stall timeout gets this long to arrive.
const END_GRACE: Duration = Duration::from_secs(5);

/// Binds a socket and listens on it.
///
/// # Errors
/// Returns the system's error, such as an address in use. Both sockets need `reuse_port` to share an address.
pub fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        // "[::]:443" means IPv6 only, as in nginx and Envoy and on every system. IPv4 needs a listener of its own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of an accepted connection. Sent bytes may stay unacknowledged for `stall_timeout`
/// and [`END_GRACE`].
///
/// # Errors
/// Returns the system's error. The connection is unusable then.
pub(super) fn configure(tcp: &TcpStream, stall_timeout: Duration) -> io::Result<()> {
    tcp.set_nonblocking(true)?;
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
    socket.set_tcp_user_timeout(Some(stall_timeout.saturating_add(END_GRACE)))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}
