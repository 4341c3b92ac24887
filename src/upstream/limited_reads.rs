//! Limits each read from an upstream, so that the read buffer of its connection stays small.
//!
//! hyper doubles its buffer after each read that fills it and keeps it while the stream is quiet: 64 KiB for each open
//! stream whose upstream once sent much at once. A read that never fills it leaves it at its first size, 8 KiB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// A transport whose reads return less than [`MAX_READ`] bytes.
pub(super) struct LimitedReads<T>(Take<T>);

impl<T: AsyncRead> LimitedReads<T> {
    pub(super) fn new(transport: T) -> Self {
        Self(transport.take(MAX_READ - 1))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LimitedReads<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.set_limit(MAX_READ - 1);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LimitedReads<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(cx)
    }
}

/// The size of hyper's first buffer. A read returns less.
const MAX_READ: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_arrives_in_reads_that_do_not_fill_a_buffer() {
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let mut transport = LimitedReads::new(&sent[..]);
        let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);

        loop {
            let count = transport.read(&mut buffer).await.expect("a slice has no errors");
            assert!(count < 8 * 1024);
            received.extend_from_slice(&buffer[..count]);
            if count == 0 {
                break;
            }
        }

        assert!(received == sent);
    }
}
