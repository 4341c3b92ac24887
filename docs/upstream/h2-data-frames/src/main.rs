//! The time that h2 takes for a small DATA frame, beside a frame that is written by hand.
//!
//! 10,000 streams on connections of 1, 6 or 100 streams. Each event is 200 bytes of data for every stream; all streams of a
//! connection are given theirs, then the connection is polled once. There is no network, no TLS and no task: writes are counted
//! and dropped, reads are pending. Both kinds take turns, and each prints the median of its turns.
//!
//! `cargo run --release h2 1 20` does 20 events with h2 on connections of 1 stream and nothing else, for a profiler.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;
use h2::server::Connection;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const STREAMS: usize = 10_000;
const EVENT: usize = 200;
const EVENTS: usize = 20;
const TURNS: usize = 15;

/// A socket whose client has sent this and reads everything at once.
struct Socket {
    input: Vec<u8>,
    read: usize,
    written: usize,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = buffer.remaining().min(self.input.len() - self.read);
        if count == 0 {
            return Poll::Pending;
        }
        buffer.put_slice(&self.input[self.read..self.read + count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written += std::hint::black_box(bytes).len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = std::hint::black_box(slices).iter().map(|slice| slice.len()).sum();
        self.written += count;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Appends a frame (RFC 9113, 4.1).
fn put_frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    output.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    output.extend_from_slice(&[kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    output.extend_from_slice(payload);
}

/// Returns what a client sends that opens this many streams, with the largest windows.
fn requests(streams: usize) -> Vec<u8> {
    let mut input = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let window = i32::MAX as u32;
    // SETTINGS_INITIAL_WINDOW_SIZE, and the acknowledgement of the server's settings.
    put_frame(&mut input, 4, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    put_frame(&mut input, 4, 1, 0, &[]);
    put_frame(&mut input, 8, 0, 0, &(window - 65_535).to_be_bytes());
    for number in 0..streams as u32 {
        // :method GET, :scheme https, :path /, :authority a
        put_frame(&mut input, 1, 0x5, 2 * number + 1, &[0x82, 0x87, 0x84, 0x01, 1, b'a']);
    }
    input
}

/// A connection of h2 whose responses have begun.
struct H2 {
    connection: Connection<Socket, Bytes>,
    streams: Vec<SendStream<Bytes>>,
}

impl H2 {
    fn new(count: usize) -> Self {
        let cx = &mut Context::from_waker(Waker::noop());
        let socket = Socket { input: requests(count), read: 0, written: 0 };
        let mut handshake = std::pin::pin!(h2::server::Builder::new().handshake(socket));
        let mut connection = loop {
            if let Poll::Ready(connection) = handshake.as_mut().poll(cx) {
                break connection.expect("a connection");
            }
        };
        let mut streams = Vec::new();
        while streams.len() < count {
            let Poll::Ready(request) = connection.poll_accept(cx) else { continue };
            let (_, mut respond) = request.expect("an open connection").expect("a request");
            streams.push(respond.send_response(Response::new(()), false).expect("an open stream"));
        }
        Self { connection, streams }
    }

    fn send(&mut self, event: &Bytes) {
        for stream in &mut self.streams {
            stream.reserve_capacity(event.len());
            stream.send_data(event.clone(), false).expect("an open stream");
        }
        assert!(self.connection.poll_accept(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}

/// A connection whose frames are written by hand: the windows of the streams and of the connection are counted.
struct ByHand {
    socket: Socket,
    window: i64,
    streams: Vec<(u32, i64)>,
    buffer: Vec<u8>,
}

impl ByHand {
    fn new(count: usize) -> Self {
        let window = i64::from(i32::MAX);
        let streams = (0..count as u32).map(|number| (2 * number + 1, window)).collect();
        Self { socket: Socket { input: Vec::new(), read: 0, written: 0 }, window, streams, buffer: Vec::new() }
    }

    fn send(&mut self, event: &Bytes) {
        let length = event.len() as i64;
        for (id, window) in &mut self.streams {
            assert!(*window >= length && self.window >= length, "no window");
            *window -= length;
            self.window -= length;
            put_frame(&mut self.buffer, 0, 0, *id, event);
        }
        let written = Pin::new(&mut self.socket).poll_write(&mut Context::from_waker(Waker::noop()), &self.buffer);
        assert!(written.is_ready());
        self.buffer.clear();
    }
}

/// Sends events to all connections, and returns the nanoseconds that a frame took.
fn measure<C>(connections: &mut [C], events: usize, send: impl Fn(&mut C, &Bytes)) -> f64 {
    let begun = Instant::now();
    for _ in 0..events {
        let event = Bytes::from(vec![b'x'; EVENT]);
        connections.iter_mut().for_each(|connection| send(connection, &event));
    }
    begun.elapsed().as_nanos() as f64 / (events * STREAMS) as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, streams, events] = &arguments[..] {
        let (streams, events) = (streams.parse().expect("a number"), events.parse().expect("a number"));
        let count = STREAMS.div_ceil(streams);
        match kind.as_str() {
            "h2" => measure(&mut (0..count).map(|_| H2::new(streams)).collect::<Vec<_>>(), events, H2::send),
            _ => measure(&mut (0..count).map(|_| ByHand::new(streams)).collect::<Vec<_>>(), events, ByHand::send),
        };
        return;
    }
    println!("streams a connection   ns a frame, h2   by hand   times");
    for streams in [1, 6, 100] {
        let count = STREAMS.div_ceil(streams);
        let mut by_h2: Vec<H2> = (0..count).map(|_| H2::new(streams)).collect();
        let mut by_hand: Vec<ByHand> = (0..count).map(|_| ByHand::new(streams)).collect();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            one.push(measure(&mut by_h2, EVENTS, H2::send));
            other.push(measure(&mut by_hand, EVENTS, ByHand::send));
        }
        let (one, other) = (median(one), median(other));
        println!("{streams:>20}   {one:>14.0}   {other:>7.0}   {:>5.1}", one / other);
        let written: usize = by_h2.iter().map(|connection| connection.streams.len()).sum();
        assert!(written >= STREAMS && by_hand.iter().all(|connection| connection.socket.written > 0));
    }
}
