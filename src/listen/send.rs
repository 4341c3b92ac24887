//! Bytes into a socket, which is tried before the runtime is asked whether it takes any.
//!
//! It nearly always does; where tokio notes that it does is memory that an event would otherwise fetch for each client.
//! As with tokio, whoever sends without end gives way to others now and then.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

/// Linux's number for that: a client that is gone is an error, and no signal.
const MSG_NOSIGNAL: i32 = 0x4000;

/// As [`AsyncWrite::poll_write`].
pub fn poll_send(tcp: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    ready!(pin!(consume_budget()).poll(cx));
    match SockRef::from(&*tcp).send_with_flags(bytes, MSG_NOSIGNAL) {
        Err(error) if is_for_later(&error) => Pin::new(tcp).poll_write(cx, bytes),
        sent => Poll::Ready(sent),
    }
}

/// As [`AsyncWrite::poll_write_vectored`].
pub fn poll_send_vectored(tcp: &mut TcpStream, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    ready!(pin!(consume_budget()).poll(cx));
    match SockRef::from(&*tcp).send_vectored_with_flags(parts, MSG_NOSIGNAL) {
        Err(error) if is_for_later(&error) => Pin::new(tcp).poll_write_vectored(cx, parts),
        sent => Poll::Ready(sent),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
