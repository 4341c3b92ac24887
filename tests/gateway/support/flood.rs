//! Upstreams that a scripted origin cannot be: one that sends without end, and ports that do not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers each request with a start and then the same bytes until the peer closes.
pub struct Flood {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Flood {
    pub async fn start(start: &'static str, repeated: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = cuts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    pour(socket, start, repeated).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, cuts, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of responses that the peer has reset.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pour(mut socket: TcpStream, start: &str, repeated: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let piece = repeated.repeat(1 + 16 * 1024 / repeated.len());
    let mut sent = socket.write_all(start.as_bytes()).await;
    while sent.is_ok() {
        sent = socket.write_all(piece.as_bytes()).await;
    }
}

/// Reserves a port that refuses connections until it is opened.
pub struct ClosedPort(Socket);

impl ClosedPort {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        Self(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}", address(&self.0))
    }

    /// Forwards connections to `target` from now on; the task ends with the test's runtime.
    pub fn open(self, target: SocketAddr) {
        self.0.listen(128).unwrap();
        self.0.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(self.0.into()).unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
    }
}

/// A port on which connecting never completes, because its queue is full and nothing accepts.
pub struct BlackHole {
    socket: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    pub fn new() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// Listens at this address; an error if something else does.
    pub fn at(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&address.into())?;
        socket.listen(0).unwrap();
        let to = self::address(&socket);
        let queued = (0..4).map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            // In progress, queued or dropped: in the end the queue is full.
            let _ = client.connect(&to.into());
            client
        });
        let queued = queued.collect();
        Ok(Self { socket, _queued: queued })
    }

    pub fn url(&self) -> String {
        format!("http://{}", address(&self.socket))
    }
}

fn address(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().expect("an internet address")
}
