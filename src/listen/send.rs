//! Writes to a socket before asking tokio whether it is writable.
//!
//! It nearly always is. Skipping tokio's readiness state saves one cache miss for each client and event. A task that
//! writes without pause still yields now and then, because each write spends tokio's cooperative budget.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

/// Linux's `MSG_NOSIGNAL`: writing to a closed connection returns an error instead of raising `SIGPIPE`.
const MSG_NOSIGNAL: i32 = 0x4000;

/// Writes like [`AsyncWrite::poll_write`].
pub(super) fn poll_send(tcp: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    ready!(pin!(consume_budget()).poll(cx));
    match SockRef::from(&*tcp).send_with_flags(bytes, MSG_NOSIGNAL) {
        Err(error) if is_for_later(&error) => Pin::new(tcp).poll_write(cx, bytes),
        sent => Poll::Ready(sent),
    }
}

/// Writes like [`AsyncWrite::poll_write_vectored`].
pub(super) fn poll_send_vectored(
    tcp: &mut TcpStream,
    cx: &mut Context<'_>,
    parts: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    ready!(pin!(consume_budget()).poll(cx));
    match SockRef::from(&*tcp).send_vectored_with_flags(parts, MSG_NOSIGNAL) {
        Err(error) if is_for_later(&error) => Pin::new(tcp).poll_write_vectored(cx, parts),
        sent => Poll::Ready(sent),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
