//! Buffers writes until they are flushed, so that many frames leave in one write and one TLS record.
//!
//! h2 writes and flushes each larger DATA frame by itself. While the writer is corked (compare TCP_CORK), such a flush
//! sends nothing. The buffer is shared by all connections of a thread. A connection keeps one of its own only while its
//! socket does not take all bytes.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::cork::{Cork, CorkFlag, PASS_READ_BYTES, ReadFlag};
use super::send_window::WindowUpdateReader;
use crate::runtime::side_waker::SideWaker;

/// A transport that sends what was written on a flush, or when there are 16 KiB. The fields that each event touches come
/// first in memory.
#[repr(C)]
pub(in crate::listen) struct CorkedWriter<T> {
    transport: T,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been sent.
    sent: usize,
    cork: Arc<Cork>,
    /// Fires when there may be something to read. h2 reads at each poll, most of which are for a write.
    read_waker: SideWaker<ReadFlag>,
    window_updates: WindowUpdateReader,
}

/// Buffered bytes that are sent without a flush: one whole TLS record.
const FLUSH_THRESHOLD: usize = 16 * 1024;

thread_local! {
    /// The buffer that the next writing connection takes.
    static SHARED_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<T> CorkedWriter<T> {
    pub(in crate::listen) fn new(transport: T, cork: Arc<Cork>) -> Self {
        let (window_updates, read_waker) =
            (WindowUpdateReader::default(), SideWaker::with_flag(CorkFlag(cork.clone())));
        Self { transport, buffer: Vec::new(), sent: 0, window_updates, read_waker, cork }
    }
}

impl<T: AsyncWrite + Unpin> CorkedWriter<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.buffer.len() {
            let Poll::Ready(count) = Pin::new(&mut self.transport).poll_write(cx, &self.buffer[self.sent..]) else {
                self.cork.buffered.store(self.buffer.capacity(), Ordering::Relaxed);
                return Poll::Pending;
            };
            let count = count?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.cork.buffered.store(0, Ordering::Relaxed);
        self.sent = 0;
        self.buffer.clear();
        // A buffer that grew much larger is not kept.
        if (1..=2 * FLUSH_THRESHOLD).contains(&self.buffer.capacity()) {
            SHARED_BUFFER.set(std::mem::take(&mut self.buffer));
        } else {
            self.buffer = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for CorkedWriter<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.buffer.len() >= FLUSH_THRESHOLD {
            ready!(this.poll_send(cx))?;
        }
        if this.buffer.capacity() == 0 {
            this.buffer = SHARED_BUFFER.take();
        }
        let part = &bytes[..bytes.len().min(FLUSH_THRESHOLD)];
        this.cork.is_flushed.store(false, Ordering::Relaxed);
        this.buffer.extend_from_slice(part);
        this.cork.window.record_written(part.len());
        Poll::Ready(Ok(part.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for part in parts {
            match self.as_mut().poll_write(cx, part) {
                Poll::Ready(Ok(taken)) => count += taken,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if count == 0 => return Poll::Pending,
                // A partial write is allowed. The caller offers the rest again.
                Poll::Pending => break,
            }
            if self.buffer.len() >= FLUSH_THRESHOLD {
                break;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.cork.is_corked.load(Ordering::Relaxed) && this.buffer.len() < FLUSH_THRESHOLD {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_send(cx))?;
        ready!(Pin::new(&mut this.transport).poll_flush(cx))?;
        this.cork.is_flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.transport).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for CorkedWriter<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Cork { readable, readable_now, has_read, window, .. } = &*this.cork;
        let (in_turn, in_pass) = (readable.load(Ordering::Relaxed), readable_now.load(Ordering::Relaxed));
        let most = in_turn.min(in_pass).min(buffer.remaining());
        if in_turn == 0 || in_pass == 0 {
            return Poll::Pending;
        }
        let Some(waker) = this.read_waker.poll_due(cx) else { return Poll::Pending };
        let mut part = [MaybeUninit::uninit(); PASS_READ_BYTES];
        let mut part = ReadBuf::uninit(&mut part[..most]);
        ready!(Pin::new(&mut this.transport).poll_read(&mut Context::from_waker(waker), &mut part))?;
        // There may be more.
        this.read_waker.rearm();
        let received = part.filled();
        this.window_updates.feed(received, window);
        let count = received.len();
        has_read.store(true, Ordering::Relaxed);
        readable.store(in_turn - count, Ordering::Relaxed);
        readable_now.store(in_pass - count, Ordering::Relaxed);
        buffer.put_slice(received);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::IoSlice;

    use futures_util::FutureExt;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::cork::TURN_READ_BYTES;
    use super::*;

    /// Records the size of each write.
    #[derive(Default)]
    struct Socket(Vec<usize>);

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_flush_sends_buffered_bytes_in_one_write() {
        let mut writer = CorkedWriter::new(Socket::default(), Arc::default());
        for _ in 0..10 {
            writer.write_all(&[0; 300]).await.expect("it is kept");
        }
        assert!(writer.transport.0.is_empty());

        writer.flush().await.expect("the socket takes all");
        writer.flush().await.expect("there is nothing more");

        assert_eq!(writer.transport.0, [3000]);
        assert_eq!(writer.buffer.capacity(), 0, "an idle connection has no buffer");
    }

    #[tokio::test]
    async fn a_corked_writer_sends_whole_records_only() {
        let cork = Arc::new(Cork::default());
        let mut writer = CorkedWriter::new(Socket::default(), cork.clone());
        cork.set_corked(true);
        for _ in 0..40 {
            writer.write_all(&[0; 1000]).await.expect("it is kept");
            writer.flush().await.expect("it is kept");
        }
        assert_eq!(writer.transport.0, [17_000, 17_000]);

        cork.set_corked(false);
        writer.flush().await.expect("the socket takes all");

        assert_eq!(writer.transport.0, [17_000, 17_000, 6000]);
    }

    #[tokio::test]
    async fn at_most_two_records_are_buffered_for_a_client_that_reads_nothing() {
        let (socket, _client) = tokio::io::duplex(1);
        let mut writer = CorkedWriter::new(socket, Arc::default());
        let mut held = 0;

        while let Poll::Ready(written) =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut writer).poll_write(cx, &[0; 5000]))).await
        {
            held += written.expect("it is kept");
            assert!(held <= 2 * FLUSH_THRESHOLD);
        }
    }

    #[tokio::test]
    async fn reads_are_pending_after_so_many_bytes_until_the_next_pass_and_turn() {
        let (mut client, socket) = tokio::io::duplex(1 << 20);
        client.write_all(&[0; 3 * TURN_READ_BYTES]).await.expect("it has room");
        let cork = Arc::new(Cork::default());
        let mut reader = CorkedWriter::new(socket, cork.clone());

        for _ in 0..2 {
            let mut read = 0;
            while !cork.is_turn_read() {
                let before = read;
                let mut buffer = [0; 700];
                while let Some(count) = reader.read(&mut buffer).now_or_never() {
                    read += count.expect("it is open");
                }
                assert_eq!(read - before, PASS_READ_BYTES);
                assert!(cork.is_pass_read());
                cork.begin_pass();
            }
            assert_eq!(read, TURN_READ_BYTES);
            cork.begin_turn();
        }
    }

    proptest! {
        #[test]
        fn every_byte_arrives_once_and_in_order_however_little_the_socket_takes(
            writes in proptest::collection::vec((1..40_000usize, any::<bool>()), 1..12),
            room in 1..20_000usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let (socket, mut client) = tokio::io::duplex(room);
                let mut writer = CorkedWriter::new(socket, Arc::default());
                let mut sent = Vec::new();
                let bytes: Vec<u8> = (0..40_000u32).map(|number| (number % 251) as u8).collect();
                let writing = async {
                    for (length, is_flushed) in writes {
                        let mut rest = &bytes[..length];
                        while !rest.is_empty() {
                            let (head, tail) = rest.split_at(rest.len() / 3);
                            let count = writer.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]).await;
                            rest = &rest[count.expect("the client reads")..];
                        }
                        sent.extend_from_slice(&bytes[..length]);
                        if is_flushed {
                            writer.flush().await.expect("the client reads");
                        }
                    }
                    writer.shutdown().await.expect("the client reads");
                    drop(writer);
                };
                let mut received = Vec::new();
                let (_, read) = tokio::join!(writing, client.read_to_end(&mut received));
                read.expect("the other side closes");
                assert!(received == sent);
            });
        }
    }
}
