//! A TLS connection whose client splits its bytes anywhere, changes them, or sends what no client would send.
//!
//! Nothing panics or loops for ever, the buffers stay within their bounds, and the text that arrives is a prefix of the
//! text that was sent. The first byte of the input is the version. Each step is then one byte for its kind and one for
//! its size. Without a step that forges or ends something, all text must arrive. The fuzzer notices a step that never
//! returns by its `-timeout`.

#![no_main]

use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use libfuzzer_sys::fuzz_target;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

#[path = "../../src/listen/send.rs"]
#[allow(dead_code, reason = "only the gateway's writer for plain HTTP sends several parts at once")]
mod send;
#[path = "../../src/listen/tls/stream/mod.rs"]
#[allow(dead_code, reason = "only the gateway reads what the handshake negotiated")]
mod stream;

use stream::{ReceivedHello, TlsStream};

/// Maximum capacity of the buffers in bytes: unprocessed input, the decrypted text of a read and the input before it,
/// replies, and a record. A capacity may be twice the length.
const MAX_BUFFER_BYTES: usize = 2 * (32 + 48 + 16 + 32) * 1024;

/// Maximum number of key updates of a well-behaved client. rustls refuses more than 32.
const MAX_KEY_UPDATES: usize = 16;

/// The parts that all inputs share.
struct Fixture {
    runtime: Runtime,
    server: Arc<ServerConfig>,
    /// For TLS 1.2 and for TLS 1.3.
    clients: [Arc<ClientConfig>; 2],
}

thread_local! {
    static FIXTURE: OnceCell<Fixture> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| {
    let [version, steps @ ..] = input else { return };
    FIXTURE.with(|fixture| {
        let fixture = fixture.get_or_init(Fixture::new);
        fixture.runtime.block_on(run(fixture, *version, steps));
    });
});

impl Fixture {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        // Shared between inputs, so that later handshakes also resume sessions.
        let clients = [&TLS12, &TLS13].map(|version| {
            let client =
                ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
            Arc::new(client.with_root_certificates(roots.clone()).with_no_client_auth())
        });
        Self { runtime: Builder::new_current_thread().enable_io().build().unwrap(), server: Arc::new(server), clients }
    }
}

enum Server {
    Handshaking(Pin<Box<dyn Future<Output = io::Result<TlsStream>>>>),
    Open(Box<TlsStream>),
    Closed,
}

struct Connection {
    server: Server,
    client: ClientConnection,
    socket: UnixStream,
    /// Encrypted bytes that the client has not sent yet.
    unsent: Vec<u8>,
    /// Bytes of text in both directions.
    client_sent: usize,
    server_received: usize,
    server_sent: usize,
    client_received: usize,
    key_updates: usize,
    /// No step has forged bytes or ended a direction.
    is_intact: bool,
    /// The client's side is closed for writing.
    is_write_closed: bool,
    /// The client has sent an alert. It must not read on: a second alert fails an assertion in rustls.
    has_sent_alert: bool,
}

/// Reads the ClientHello and performs the handshake.
async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<TlsStream> {
    TlsStream::accept(config, ReceivedHello::read(tcp).await?).await
}

async fn run(fixture: &Fixture, version: u8, steps: &[u8]) {
    let (socket, other) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    // The stream only reads and writes, so a Unix socket does.
    let tcp = TcpStream::from_std(OwnedFd::from(other).into()).unwrap();
    let config = fixture.clients[usize::from(version % 2)].clone();
    let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut connection = Connection {
        server: Server::Handshaking(Box::pin(accept(fixture.server.clone(), tcp))),
        client,
        socket,
        unsent: Vec::new(),
        client_sent: 0,
        server_received: 0,
        server_sent: 0,
        client_received: 0,
        key_updates: 0,
        is_intact: true,
        is_write_closed: false,
        has_sent_alert: false,
    };
    if version & 0x40 != 0 {
        connection.exchange_all().await;
    }
    let mut steps = steps.chunks_exact(2);
    while let Some(&[kind, size]) = steps.next() {
        let size = usize::from(size);
        match kind % 18 {
            0 => connection.send(size + 1),
            1 => connection.send(16 * (size + 1)),
            2 => connection.send(usize::MAX),
            3 => connection.send_text(size + 1),
            4 => connection.send_text(100 * (size + 1)),
            5 => connection.update_keys(),
            6 => connection.forge(|unsent| {
                let position = size % unsent.len();
                unsent[position] ^= 1 << (kind / 18 % 8);
            }),
            7 => connection.forge(|unsent| drop(unsent.drain(..(size + 1).min(unsent.len())))),
            8 => connection.forge(|unsent| unsent.extend_from_within(..(size + 1).min(unsent.len()))),
            9 => {
                // Bytes from the input.
                let bytes: Vec<u8> = steps.by_ref().take(size % 32).flatten().copied().collect();
                connection.is_intact = false;
                connection.unsent.splice(..0, bytes);
            }
            10 => {
                // A record header with a type from the input and a length beyond the bytes that follow.
                connection.is_intact = false;
                connection.unsent.splice(..0, [20 + kind / 18 % 5, 3, 3, size as u8, 0xff]);
            }
            11 => {
                connection.client.send_close_notify();
                (connection.is_intact, connection.has_sent_alert) = (false, true);
            }
            12 if size > 200 => {
                let _ = connection.socket.shutdown(Shutdown::Write);
                (connection.is_intact, connection.is_write_closed) = (false, true);
            }
            12 | 13 => connection.read(1 + size * size).await,
            14 => connection.write(1 + size * size).await,
            15 => connection.flush().await,
            16 if size > 200 => connection.shut_down().await,
            16 | 17 => connection.receive(),
            _ => unreachable!(),
        }
        connection.check();
    }
    if connection.is_intact {
        connection.exchange_all().await;
        assert!(matches!(connection.server, Server::Open(_)), "an undisturbed handshake did not complete");
        assert_eq!(
            (connection.server_received, connection.client_received),
            (connection.client_sent, connection.server_sent)
        );
        let Server::Open(server) = &connection.server else { unreachable!() };
        assert_eq!(server.buffer_capacity(), 0, "an idle connection holds a buffer");
    }
    connection.end().await;
}

/// Returns the byte at a position of the text.
fn byte_at(position: usize) -> u8 {
    (position % 251) as u8
}

fn text(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(byte_at).collect()
}

impl Connection {
    fn check(&self) {
        if let Server::Open(server) = &self.server {
            assert!(server.buffer_capacity() <= MAX_BUFFER_BYTES, "{} bytes of buffers", server.buffer_capacity());
        }
    }

    /// Takes the client's pending records and sends up to `count` bytes in one write.
    fn send(&mut self, count: usize) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.unsent).unwrap();
        }
        let count = count.min(self.unsent.len());
        if !self.is_write_closed && count > 0 {
            let sent = self.socket.write(&self.unsent[..count]).unwrap_or(0);
            self.unsent.drain(..sent);
        }
    }

    fn send_text(&mut self, length: usize) {
        if self.client.is_handshaking() {
            return;
        }
        if let Ok(count) = self.client.writer().write(&text(self.client_sent, length)) {
            self.client_sent += count;
        }
    }

    fn update_keys(&mut self) {
        if self.client.refresh_traffic_keys().is_ok() {
            self.key_updates += 1;
            self.is_intact &= self.key_updates <= MAX_KEY_UPDATES;
        }
    }

    fn forge(&mut self, forge: impl FnOnce(&mut Vec<u8>)) {
        self.send(0);
        if !self.unsent.is_empty() {
            self.is_intact = false;
            forge(&mut self.unsent);
        }
    }

    /// Lets the client read everything that has arrived.
    fn receive(&mut self) {
        let mut part = [0; 16 * 1024];
        while let Ok(count @ 1..) = self.socket.read(&mut part) {
            let mut rest = &part[..count];
            while !rest.is_empty() && !self.has_sent_alert {
                let is_taken = self.client.read_tls(&mut rest).is_ok() && self.client.process_new_packets().is_ok();
                let mut plain = Vec::new();
                let _ = self.client.reader().read_to_end(&mut plain);
                assert_eq!(plain, text(self.client_received, plain.len()));
                self.client_received += plain.len();
                if !is_taken {
                    assert!(!self.is_intact, "the client refused the server's bytes");
                    self.has_sent_alert = true;
                }
            }
        }
    }

    /// Polls up to three times. Returns `None` if more input is needed.
    async fn poll<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Option<T> {
        for _ in 0..3 {
            if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
                return Some(value);
            }
            // Lets the runtime poll the sockets.
            yield_now().await;
        }
        None
    }

    fn close(&mut self, error: io::Error) {
        assert!(!self.is_intact, "{error}");
        self.server = Server::Closed;
    }

    /// Continues the handshake.
    async fn handshake(&mut self) {
        let Server::Handshaking(handshake) = &mut self.server else { return };
        match Self::poll(|cx| handshake.as_mut().poll(cx)).await {
            Some(Ok(server)) => self.server = Server::Open(Box::new(server)),
            Some(Err(error)) => self.close(error),
            None => {}
        }
    }

    async fn read(&mut self, count: usize) {
        self.handshake().await;
        let Server::Open(server) = &mut self.server else { return };
        let mut part = vec![0; count];
        let mut buffer = ReadBuf::new(&mut part);
        match Self::poll(|cx| Pin::new(&mut *server).poll_read(cx, &mut buffer)).await {
            Some(Ok(())) => {
                let received = buffer.filled();
                assert!(!received.is_empty() || !self.is_intact, "unexpected end of stream");
                assert_eq!(received, text(self.server_received, received.len()));
                self.server_received += received.len();
                assert!(self.server_received <= self.client_sent);
            }
            Some(Err(error)) => self.close(error),
            None => {}
        }
    }

    async fn write(&mut self, length: usize) {
        self.handshake().await;
        let Server::Open(server) = &mut self.server else { return };
        let bytes = text(self.server_sent, length);
        // In two parts, as the gateway writes.
        let (first, second) = bytes.split_at(length / 3);
        let parts = [io::IoSlice::new(first), io::IoSlice::new(second)];
        match Self::poll(|cx| Pin::new(&mut *server).poll_write_vectored(cx, &parts)).await {
            Some(Ok(count)) => {
                assert!((1..=length).contains(&count));
                self.server_sent += count;
            }
            Some(Err(error)) => self.close(error),
            None => {}
        }
    }

    async fn flush(&mut self) {
        self.handshake().await;
        let Server::Open(server) = &mut self.server else { return };
        if let Some(Err(error)) = Self::poll(|cx| Pin::new(&mut *server).poll_flush(cx)).await {
            self.close(error);
        }
    }

    async fn shut_down(&mut self) {
        self.handshake().await;
        let Server::Open(server) = &mut self.server else { return };
        self.is_intact = false;
        if let Some(Err(error)) = Self::poll(|cx| Pin::new(&mut *server).poll_shutdown(cx)).await {
            self.close(error);
        }
    }

    /// Delivers all pending text in both directions.
    async fn exchange_all(&mut self) {
        for _ in 0..10_000 {
            self.send(usize::MAX);
            let before = (self.server_received, self.client_received, self.unsent.len());
            self.read(64 * 1024).await;
            self.flush().await;
            self.receive();
            let is_still = before == (self.server_received, self.client_received, self.unsent.len());
            let is_waiting = self.client.wants_write() || matches!(self.server, Server::Handshaking(_));
            if is_still
                && !is_waiting
                && self.server_received == self.client_sent
                && self.client_received == self.server_sent
            {
                return;
            }
            if matches!(self.server, Server::Closed) {
                return;
            }
        }
    }

    /// Closes the client's socket. The server must not wait for it.
    async fn end(mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.is_intact = false;
        self.is_write_closed = true;
        for _ in 0..1000 {
            let received = self.server_received;
            self.read(64 * 1024).await;
            self.check();
            match &self.server {
                Server::Closed => return,
                Server::Open(_) if self.server_received == received => return,
                Server::Open(_) | Server::Handshaking(_) => {}
            }
        }
        panic!("the server waits for a client that has closed its socket");
    }
}
