//! A TLS connection whose client cuts its bytes anywhere, changes them, or says what no client would: nothing panics or
//! turns for ever, what is held stays within bounds, and what is heard is what was said, as far as it is heard.
//!
//! The first byte of the input is the version; then each step is a byte for its kind and one for its size. Without a
//! step that forges or ends something all that was said must arrive. A step that never returns is the fuzzer's to notice,
//! by its `-timeout`.

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
use rillgate_fuzz::tls_stream::TlsStream;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

/// Most that may be held: input that is no record yet, what was decrypted of one piece, answers, and a record; all
/// capacity, which may be twice as much.
const HELD_BYTES: usize = 2 * (144 + 144 + 16 + 32) * 1024;

/// Above this a client counts as one that asks for too much (rustls' bound is 32).
const KEY_UPDATES: usize = 16;

struct World {
    runtime: Runtime,
    server: Arc<ServerConfig>,
    /// Of TLS 1.2 and of TLS 1.3.
    clients: [Arc<ClientConfig>; 2],
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| {
    let [version, steps @ ..] = input else { return };
    WORLD.with(|world| {
        let world = world.get_or_init(World::new);
        world.runtime.block_on(play(world, *version, steps));
    });
});

impl World {
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
        // Kept between inputs, so that later handshakes are resumptions too.
        let clients = [&TLS12, &TLS13].map(|version| {
            let client =
                ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
            Arc::new(client.with_root_certificates(roots.clone()).with_no_client_auth())
        });
        Self { runtime: Builder::new_current_thread().enable_io().build().unwrap(), server: Arc::new(server), clients }
    }
}

enum Server {
    Shaking(Pin<Box<dyn Future<Output = io::Result<TlsStream>>>>),
    Open(Box<TlsStream>),
    Over,
}

struct Connection {
    server: Server,
    client: ClientConnection,
    socket: UnixStream,
    /// What the client has to say and has not sent yet, encrypted.
    unsent: Vec<u8>,
    /// How many bytes of text each side has said, and the other has heard.
    said: usize,
    heard: usize,
    written: usize,
    received: usize,
    key_updates: usize,
    /// The client is as it should be, and nobody has ended anything.
    is_intact: bool,
    /// The client's side is closed for writing.
    is_ended: bool,
    /// The client has said an alert and must not be shown what it would say another for (rustls asserts that).
    is_deaf: bool,
}

async fn play(world: &World, version: u8, steps: &[u8]) {
    let (socket, other) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    // To the stream one socket is as good as another.
    let tcp = TcpStream::from_std(OwnedFd::from(other).into()).unwrap();
    let config = world.clients[usize::from(version % 2)].clone();
    let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut connection = Connection {
        server: Server::Shaking(Box::pin(TlsStream::accept(world.server.clone(), tcp))),
        client,
        socket,
        unsent: Vec::new(),
        said: 0,
        heard: 0,
        written: 0,
        received: 0,
        key_updates: 0,
        is_intact: true,
        is_ended: false,
        is_deaf: false,
    };
    if version & 0x40 != 0 {
        connection.settle().await;
    }
    let mut steps = steps.chunks_exact(2);
    while let Some(&[kind, size]) = steps.next() {
        let size = usize::from(size);
        match kind % 18 {
            0 => connection.send(size + 1),
            1 => connection.send(16 * (size + 1)),
            2 => connection.send(usize::MAX),
            3 => connection.say(size + 1),
            4 => connection.say(100 * (size + 1)),
            5 => connection.update_keys(),
            6 => connection.forge(|unsent| {
                let place = size % unsent.len();
                unsent[place] ^= 1 << (kind / 18 % 8);
            }),
            7 => connection.forge(|unsent| drop(unsent.drain(..(size + 1).min(unsent.len())))),
            8 => connection.forge(|unsent| unsent.extend_from_within(..(size + 1).min(unsent.len()))),
            9 => {
                // Bytes that are the input's own.
                let bytes: Vec<u8> = steps.by_ref().take(size % 32).flatten().copied().collect();
                connection.is_intact = false;
                connection.unsent.splice(..0, bytes);
            }
            10 => {
                // A record of the input's own kind that says it is longer than what there is.
                connection.is_intact = false;
                connection.unsent.splice(..0, [20 + kind / 18 % 5, 3, 3, size as u8, 0xff]);
            }
            11 => {
                connection.client.send_close_notify();
                (connection.is_intact, connection.is_deaf) = (false, true);
            }
            12 if size > 200 => {
                let _ = connection.socket.shutdown(Shutdown::Write);
                (connection.is_intact, connection.is_ended) = (false, true);
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
        connection.settle().await;
        assert!(matches!(connection.server, Server::Open(_)), "a handshake that nobody disturbed");
        assert_eq!((connection.heard, connection.received), (connection.said, connection.written));
        let Server::Open(server) = &connection.server else { unreachable!() };
        assert_eq!(server.buffer_capacity(), 0, "an idle connection holds nothing");
    }
    connection.end().await;
}

/// What stands at this place of a text.
fn letter(place: usize) -> u8 {
    (place % 251) as u8
}

fn text(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(letter).collect()
}

impl Connection {
    fn check(&self) {
        if let Server::Open(server) = &self.server {
            assert!(server.buffer_capacity() <= HELD_BYTES, "{} bytes are held", server.buffer_capacity());
        }
    }

    /// What the client has to say is taken from it, and so many bytes of it sent, in one piece.
    fn send(&mut self, count: usize) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.unsent).unwrap();
        }
        let count = count.min(self.unsent.len());
        if !self.is_ended && count > 0 {
            let sent = self.socket.write(&self.unsent[..count]).unwrap_or(0);
            self.unsent.drain(..sent);
        }
    }

    fn say(&mut self, length: usize) {
        if self.client.is_handshaking() {
            return;
        }
        if let Ok(count) = self.client.writer().write(&text(self.said, length)) {
            self.said += count;
        }
    }

    fn update_keys(&mut self) {
        if self.client.refresh_traffic_keys().is_ok() {
            self.key_updates += 1;
            self.is_intact &= self.key_updates <= KEY_UPDATES;
        }
    }

    fn forge(&mut self, forge: impl FnOnce(&mut Vec<u8>)) {
        self.send(0);
        if !self.unsent.is_empty() {
            self.is_intact = false;
            forge(&mut self.unsent);
        }
    }

    /// The client takes what there is for it.
    fn receive(&mut self) {
        let mut part = [0; 16 * 1024];
        while let Ok(count @ 1..) = self.socket.read(&mut part) {
            let mut rest = &part[..count];
            while !rest.is_empty() && !self.is_deaf {
                let is_taken = self.client.read_tls(&mut rest).is_ok() && self.client.process_new_packets().is_ok();
                let mut plain = Vec::new();
                let _ = self.client.reader().read_to_end(&mut plain);
                assert_eq!(plain, text(self.received, plain.len()));
                self.received += plain.len();
                if !is_taken {
                    assert!(!self.is_intact, "the client did not understand the server");
                    self.is_deaf = true;
                }
            }
        }
    }

    /// Polls until it is ready, or waits for what does not come by itself.
    async fn poll<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Option<T> {
        for _ in 0..3 {
            if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
                return Some(value);
            }
            // Has the runtime look at the sockets.
            yield_now().await;
        }
        None
    }

    fn over(&mut self, error: io::Error) {
        assert!(!self.is_intact, "{error}");
        self.server = Server::Over;
    }

    /// Goes on with the handshake.
    async fn shake(&mut self) {
        let Server::Shaking(shaking) = &mut self.server else { return };
        match Self::poll(|cx| shaking.as_mut().poll(cx)).await {
            Some(Ok(server)) => self.server = Server::Open(Box::new(server)),
            Some(Err(error)) => self.over(error),
            None => {}
        }
    }

    async fn read(&mut self, count: usize) {
        self.shake().await;
        let Server::Open(server) = &mut self.server else { return };
        let mut part = vec![0; count];
        let mut buffer = ReadBuf::new(&mut part);
        match Self::poll(|cx| Pin::new(&mut *server).poll_read(cx, &mut buffer)).await {
            Some(Ok(())) => {
                let heard = buffer.filled();
                assert!(!heard.is_empty() || !self.is_intact, "an end that nobody made");
                assert_eq!(heard, text(self.heard, heard.len()));
                self.heard += heard.len();
                assert!(self.heard <= self.said);
            }
            Some(Err(error)) => self.over(error),
            None => {}
        }
    }

    async fn write(&mut self, length: usize) {
        self.shake().await;
        let Server::Open(server) = &mut self.server else { return };
        let bytes = text(self.written, length);
        // In two pieces, as the gateway writes.
        let (first, second) = bytes.split_at(length / 3);
        let parts = [io::IoSlice::new(first), io::IoSlice::new(second)];
        match Self::poll(|cx| Pin::new(&mut *server).poll_write_vectored(cx, &parts)).await {
            Some(Ok(count)) => {
                assert!((1..=length).contains(&count));
                self.written += count;
            }
            Some(Err(error)) => self.over(error),
            None => {}
        }
    }

    async fn flush(&mut self) {
        self.shake().await;
        let Server::Open(server) = &mut self.server else { return };
        if let Some(Err(error)) = Self::poll(|cx| Pin::new(&mut *server).poll_flush(cx)).await {
            self.over(error);
        }
    }

    async fn shut_down(&mut self) {
        self.shake().await;
        let Server::Open(server) = &mut self.server else { return };
        self.is_intact = false;
        if let Some(Err(error)) = Self::poll(|cx| Pin::new(&mut *server).poll_shutdown(cx)).await {
            self.over(error);
        }
    }

    /// Both sides say and hear everything that there is.
    async fn settle(&mut self) {
        for _ in 0..10_000 {
            self.send(usize::MAX);
            let before = (self.heard, self.received, self.unsent.len());
            self.read(64 * 1024).await;
            self.flush().await;
            self.receive();
            let is_still = before == (self.heard, self.received, self.unsent.len());
            let is_waiting = self.client.wants_write() || matches!(self.server, Server::Shaking(_));
            if is_still && !is_waiting && self.heard == self.said && self.received == self.written {
                return;
            }
            if matches!(self.server, Server::Over) {
                return;
            }
        }
    }

    /// The client is gone: everything that waits for it ends.
    async fn end(mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.is_intact = false;
        self.is_ended = true;
        for _ in 0..1000 {
            let heard = self.heard;
            self.read(64 * 1024).await;
            self.check();
            match &self.server {
                Server::Over => return,
                Server::Open(_) if self.heard == heard => return,
                _ => {}
            }
        }
        panic!("the client is gone and is still waited for");
    }
}
