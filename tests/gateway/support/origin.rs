//! An origin: a scripted producer of Server-Sent Events, on a port of its own.
//!
//! It writes HTTP/1.1 by hand, so that it can also violate it. An emission goes to every response that is open at that
//! moment, as one chunk, and in a write of its own unless the test wants them together.
//!
//! Always true: a request is recorded before it is answered. A response counts as open before its head is sent, so a
//! client that has seen the head misses nothing. It deliberately has no HTTP/2, no pipelining and no request bodies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConfig;
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::certificates::Identity;
use super::script::{Answer, Cut, Framing, Request, Script, Step};
use super::transport::Transport;
use super::wait::{DEADLINE, eventually};

/// A scripted origin; closes its port and its connections when dropped.
pub struct Origin {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

/// The number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open responses that receive emissions.
    pub open: usize,
    /// TCP connections ever accepted.
    pub total: usize,
}

/// Bytes to emit, and the id after which a client may resume.
#[derive(Clone, Debug)]
pub struct Emission {
    bytes: Bytes,
    id: Option<String>,
}

struct Shared {
    /// Never held across an await.
    state: Mutex<State>,
}

struct State {
    script: Script,
    honours_last_event_id: bool,
    history: Vec<Emission>,
    requests: Vec<Request>,
    accepted: usize,
    open: BTreeMap<usize, mpsc::UnboundedSender<Step>>,
}

impl Emission {
    /// Returns an event, with `data` split into lines.
    pub fn event(id: &str, kind: &str, data: &str) -> Self {
        let mut text = format!("id: {id}\n");
        if !kind.is_empty() {
            text.push_str(&format!("event: {kind}\n"));
        }
        for line in data.split('\n') {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        Self { bytes: text.into(), id: Some(id.to_owned()) }
    }
}

impl From<&str> for Emission {
    fn from(text: &str) -> Self {
        Self { bytes: Bytes::copy_from_slice(text.as_bytes()), id: None }
    }
}

impl From<Bytes> for Emission {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, id: None }
    }
}

impl From<String> for Emission {
    fn from(text: String) -> Self {
        Self { bytes: text.into(), id: None }
    }
}

impl Origin {
    /// Starts a plain origin that answers every request with an open event stream.
    pub async fn start() -> Self {
        Self::start_with(|_| Answer::stream()).await
    }

    /// Starts a plain origin with this script.
    pub async fn start_with(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(script), None).await
    }

    /// Starts an origin with TLS that answers every request with an open event stream.
    pub async fn start_tls(identity: &Identity) -> Self {
        Self::start_tls_config(identity.server_config(&["http/1.1"])).await
    }

    /// Starts an origin with this TLS configuration, for example one that requires client certificates.
    pub async fn start_tls_config(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::listen(Arc::new(|_: &Request| Answer::stream()), Some(acceptor)).await
    }

    async fn listen(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                script,
                honours_last_event_id: false,
                history: Vec::new(),
                requests: Vec::new(),
                accepted: 0,
                open: BTreeMap::new(),
            }),
        });
        let is_tls = tls.is_some();
        let accepting = tokio::spawn(accept(listener, tls, shared.clone()));
        Self { address, tls: is_tls, shared, accepting }
    }

    /// Answers a known Last-Event-ID with the events emitted after it, and an unknown one without old events.
    pub fn honour_last_event_id(&self) {
        self.shared.state.lock().honours_last_event_id = true;
    }

    /// Answers later requests with this script; open responses are not affected.
    pub fn answer(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        self.shared.state.lock().script = Arc::new(script);
    }

    /// Answers later requests with this status.
    pub fn refuse(&self, status: u16) {
        self.answer(move |_| Answer::status(status));
    }

    /// Answers later requests with an open event stream again.
    pub fn welcome(&self) {
        self.answer(|_| Answer::stream());
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL, for an upstream's `urls`.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Sends to every open response.
    pub fn emit(&self, emission: impl Into<Emission>) {
        self.emit_together([emission.into()]);
    }

    /// Sends all of them to every open response in one write, each as a chunk. A few KiB reach the peer all at once or not
    /// at all.
    pub fn emit_together(&self, emissions: impl IntoIterator<Item = Emission>) {
        let emissions: Vec<Emission> = emissions.into_iter().collect();
        let pieces: Vec<Bytes> = emissions.iter().map(|emission| emission.bytes.clone()).collect();
        let mut state = self.shared.state.lock();
        for response in state.open.values() {
            // A response that has just ended receives nothing more.
            let _ = response.send(Step::Body(pieces.clone()));
        }
        state.history.extend(emissions);
    }

    /// Ends every open response in this way; new requests are answered as before.
    pub fn cut(&self, how: Cut) {
        let open = std::mem::take(&mut self.shared.state.lock().open);
        for response in open.values() {
            let _ = response.send(Step::Cut(how));
        }
    }

    pub fn connections(&self) -> Connections {
        let state = self.shared.state.lock();
        Connections { open: state.open.len(), total: state.accepted }
    }

    /// Returns every request head so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().requests.clone()
    }

    /// Waits until exactly `count` responses are open.
    #[track_caller]
    pub fn wait_open(&self, count: usize) -> impl Future<Output = ()> {
        eventually(DEADLINE, move || async move { self.connections().open == count })
    }

    /// Waits until at least `count` requests have arrived, and returns all of them.
    pub async fn wait_requests(&self, count: usize) -> Vec<Request> {
        eventually(DEADLINE, move || async move { self.requests().len() >= count }).await;
        self.requests()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut(Cut::Fin);
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (shared, tls) = (shared.clone(), tls.clone());
        shared.state.lock().accepted += 1;
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            // A failed connection is the peer's doing and not an error of the origin.
            let _ = match tls {
                None => serve::<TcpStream>(socket, &shared).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(socket) => serve(socket, &shared).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve<T: Transport>(mut socket: T, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // The head is read byte by byte, because nothing after it may be consumed. Speed does not matter here.
        head.push(socket.read_u8().await?);
        assert!(head.len() < 1 << 20, "a request head over a mebibyte");
    }
    let Some((number, answer, mut emitted)) = shared.open(&String::from_utf8_lossy(&head)) else {
        return socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    };
    let result = respond(&mut socket, answer, &mut emitted).await;
    shared.state.lock().open.remove(&number);
    result
}

async fn respond<T: Transport>(
    socket: &mut T,
    answer: Answer,
    emitted: &mut mpsc::UnboundedReceiver<Step>,
) -> std::io::Result<()> {
    let framing = answer.framing;
    socket.write_all(&answer.head()).await?;
    socket.flush().await?;
    for step in answer.steps {
        match step {
            Step::Body(pieces) => write(socket, framing, &pieces).await?,
            Step::Cut(how) => return leave(socket, framing, how).await,
            Step::Silence => {
                while let Some(step) = next(socket, emitted).await? {
                    if let Step::Cut(how) = step {
                        return leave(socket, framing, how).await;
                    }
                }
                return Ok(());
            }
        }
    }
    if answer.finite {
        return leave(socket, framing, Cut::End).await;
    }
    while let Some(step) = next(socket, emitted).await? {
        match step {
            Step::Body(pieces) => write(socket, framing, &pieces).await?,
            Step::Cut(how) => return leave(socket, framing, how).await,
            Step::Silence => {}
        }
    }
    Ok(())
}

/// Returns the next emission, or `None` once the peer has closed.
async fn next<T: Transport>(
    socket: &mut T,
    emitted: &mut mpsc::UnboundedReceiver<Step>,
) -> std::io::Result<Option<Step>> {
    let mut ignored = [0; 1024];
    loop {
        tokio::select! {
            step = emitted.recv() => return Ok(step),
            read = socket.read(&mut ignored) => if read? == 0 { return Ok(None) },
        }
    }
}

async fn write<T: Transport>(socket: &mut T, framing: Framing, pieces: &[Bytes]) -> std::io::Result<()> {
    let mut framed = Vec::new();
    for piece in pieces {
        if framing == Framing::Chunked && !piece.is_empty() {
            framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
        } else {
            framed.extend_from_slice(piece);
        }
    }
    socket.write_all(&framed).await?;
    socket.flush().await
}

async fn leave<T: Transport>(socket: &mut T, framing: Framing, how: Cut) -> std::io::Result<()> {
    match how {
        Cut::End => {
            if framing == Framing::Chunked {
                socket.write_all(b"0\r\n\r\n").await?;
            }
            socket.shutdown().await
        }
        // The drop that follows sends FIN, and no close_notify.
        Cut::Fin => Ok(()),
        Cut::TruncatedChunk => {
            socket.write_all(b"40\r\ndata: trunc").await?;
            socket.flush().await
        }
        Cut::Reset => {
            socket.reset_on_close();
            Ok(())
        }
        Cut::Vanish => {
            // Classic BPF, BPF_RET|BPF_K: drops every segment.
            SockRef::from(socket.socket()).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])?;
            std::future::pending().await
        }
    }
}

impl Shared {
    /// Records the request, chooses the answer and registers for emissions, atomically.
    fn open(&self, head: &str) -> Option<(usize, Answer, mpsc::UnboundedReceiver<Step>)> {
        let mut state = self.state.lock();
        let request = Request::parse(head, state.requests.len())?;
        state.requests.push(request.clone());
        let mut answer = (state.script)(&request);
        if state.honours_last_event_id && !answer.finite {
            let known =
                |emission: &Emission| emission.id.is_some() && emission.id.as_deref() == request.last_event_id();
            if let Some(at) = state.history.iter().position(known) {
                let missed = state.history[at + 1..].iter();
                answer.steps.extend(missed.map(|missed| Step::Body(vec![missed.bytes.clone()])));
            }
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if !answer.finite {
            state.open.insert(request.number, sender);
        }
        Some((request.number, answer, receiver))
    }
}
