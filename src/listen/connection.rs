//! One connection: told apart, served by hyper, left in peace when it streams, ended gracefully.
//!
//! HTTP/1 or HTTP/2 (see `http2`) is chosen by ALPN, or by the first bytes on a listener without TLS. Generic over the
//! service: nothing here knows what is served. HTTP/1.1 responses that claim the connection leave hyper (see `takeover`).

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::abort::supervise;
use super::handoff::{Handoff, HandoffFn, HandoffIo};
use super::listener::ListenerContext;
use super::protocol_errors::ProtocolErrors;
use super::timeouts::ConnectionTimeouts;
use super::tracked_body::TrackedBody;
use super::transport::Transport;
use super::trusted::TrustedProxies;
use crate::limits::Limits;
use crate::runtime::tasks::Draining;
use crate::telemetry::Protocol;

/// What is known about a connection, given to the service with each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client: the other end of the connection, or whom a proxy speaks for there (PROXY protocol).
    pub address: SocketAddr,
    /// How it speaks.
    pub protocol: Protocol,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// The host name asked for in the TLS handshake.
    pub server_name: Option<Arc<str>>,
    /// Whether its address has more connections than it may.
    pub is_over_ip_limit: bool,
    /// Peers whose word about the client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether another process may take this listener's clients when this one leaves.
    pub has_successor: bool,
}

/// Answers requests; must not fail.
pub trait Service<B>:
    Fn(Request<RequestBodyInfo>) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

impl<B, F> Service<B> for F where
    F: Fn(Request<RequestBodyInfo>) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

/// A request's body, which nobody reads.
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyInfo {
    /// Whether there is none.
    pub is_empty: bool,
}

/// What a response body must be.
pub trait ResponseBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
    /// Polled while what it gave last waits for the client to take it. Completes when the client has had its time and is
    /// to be cut off. `is_stalled`: it has taken nothing for as long as a client may.
    fn poll_cut(&mut self, cx: &mut Context<'_>, is_stalled: bool) -> Poll<()>;

    /// It has panicked on HTTP/2, and is dropped next.
    fn fail(&mut self);
}

impl Peer {
    /// Has the service know who asks.
    pub(super) fn announce(&self, mut request: Request<RequestBodyInfo>) -> Request<RequestBodyInfo> {
        request.extensions_mut().insert(self.clone());
        request
    }
}

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads as much of a plain connection as it takes to tell whether it speaks HTTP/2 with prior knowledge.
///
/// # Errors
/// When the connection ends before that.
pub async fn sniff(mut tcp: TcpStream) -> std::io::Result<(Transport, Protocol)> {
    let mut unread = BytesMut::with_capacity(PREFACE.len());
    loop {
        let is_http2 = unread == PREFACE;
        if is_http2 || !PREFACE.starts_with(&unread) {
            let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            return Ok((Transport::Plain { tcp, unread: unread.freeze() }, protocol));
        }
        let mut part = (&mut tcp).take((PREFACE.len() - unread.len()) as u64);
        if part.read_buf(&mut unread).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Serves HTTP/1 until the connection ends; returns it when a response has claimed it. What no service hears of is
/// told to `unserved`.
pub async fn serve_http1<B: ResponseBody>(
    transport: Transport,
    peer: Peer,
    service: impl Service<B>,
    limits: &Limits,
    draining: Draining,
    unserved: &ProtocolErrors,
) -> Option<(HandoffFn, Transport, Vec<u8>)> {
    let pace = Arc::new(ConnectionTimeouts::new(limits));
    let mut departure = Box::pin(departure(draining, pace.clone(), peer.has_successor));
    let takeover = Handoff::default();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The pace below tells a slow head from an idle connection; hyper cannot.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes.max(8192))
        .max_header_size(limits.header_bytes)
        // The service refuses what is over the limit, and says so; hyper could only refuse without a word.
        .max_headers(limits.headers.saturating_mul(2))
        .serve_connection(
            HandoffIo::new(transport, takeover.clone(), pace.clone()),
            hyper_service(service, peer, pace.clone(), takeover.clone()),
        );
    let mut carried = supervise(connection);
    let mut tick = interval(pace.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_draining = false;
    loop {
        let served = poll_fn(|cx| match Pin::new(&mut carried).poll(cx) {
            Poll::Ready(end) => {
                if let Some(Err(error)) = end {
                    unserved.http1(&error);
                }
                Poll::Ready(None)
            }
            Poll::Pending => takeover.ready().map_or(Poll::Pending, |writer| Poll::Ready(Some(writer))),
        });
        tokio::select! {
            served = served => {
                let (transport, held) = match served {
                    None => return None,
                    Some(_) => carried.into_inner().into_parts().io.into_parts(),
                };
                return served.map(|writer| (writer, transport, held));
            }
            now = tick.tick() => if let Some(over) = pace.over(now) {
                unserved.slow(over);
                return None;
            },
            () = &mut departure, if !is_draining => {
                is_draining = true;
                Pin::new(carried.get_mut()).graceful_shutdown();
            }
        }
    }
}

/// How long a connection that came just before the gateway left has for its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(3);

/// How often it is asked whether that has come.
const LOOK: Duration = Duration::from_millis(10);

/// Completes when the connection is to take no more requests because the gateway leaves: at once, but where another
/// process takes over nobody is turned away, so that a connection on which nothing has been asked yet still may.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep what it is given twice")]
pub(super) fn departure(
    mut draining: Draining,
    pace: Arc<ConnectionTimeouts>,
    has_successor: bool,
) -> impl Future<Output = ()> + Send {
    async move {
        let established = Instant::now();
        let since = draining.since().await;
        let end = since.max(established) + FIRST_REQUEST;
        while has_successor && pace.is_fresh() && Instant::now() < end {
            sleep(LOOK).await;
        }
    }
}

type Answer<B> = BoxFuture<'static, Result<Response<TrackedBody<B>>, Infallible>>;

fn hyper_service<B: ResponseBody>(
    service: impl Service<B>,
    peer: Peer,
    pace: Arc<ConnectionTimeouts>,
    takeover: Handoff,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<TrackedBody<B>>,
    Error = Infallible,
    Future = Answer<B>,
> + Unpin {
    hyper::service::service_fn(move |request: Request<Incoming>| -> Answer<B> {
        let in_request = pace.request();
        let (head, body) = request.into_parts();
        let unread = RequestBodyInfo { is_empty: body.is_end_stream() };
        let mut request = peer.announce(Request::from_parts(head, unread));
        request.extensions_mut().insert(takeover.clone());
        let response = service(request);
        Box::pin(async move {
            let response = response.await.map(|body| TrackedBody::new(body, in_request));
            // Not before: hyper stops reading for a body that nobody wants.
            drop(body);
            Ok(response)
        })
    })
}

/// Shakes hands or looks at the first bytes, within the handshake timeout.
pub(super) async fn establish(
    tcp: TcpStream,
    client: SocketAddr,
    around: &ListenerContext,
    limits: &Limits,
) -> Option<(Transport, Protocol)> {
    let metrics = &around.metrics;
    let Some(tls) = &around.tls else {
        let sniffed = timeout(limits.header_timeout, sniff(tcp)).await;
        // Whoever leaves before saying anything, as a probe does, was not refused.
        return sniffed.inspect_err(|_| metrics.refused("header_timeout")).ok()?.ok();
    };
    let handshake = timeout(limits.handshake_timeout, async {
        around.accept_limits.handshakes.turn(|| metrics.waits("handshakes_per_second")).await;
        tls.accept(tcp).await
    });
    let (result, stream) = match handshake.await {
        Ok(Ok(stream)) => ("ok", Some(stream)),
        Ok(Err(error)) => {
            around.handshake_log.refused(client, &error);
            ("refused", None)
        }
        Err(_) => {
            let after = limits.handshake_timeout.as_secs_f64();
            around.handshake_log.refused(client, &format_args!("timed out after {after} s (limits.handshake_timeout)"));
            ("timeout", None)
        }
    };
    metrics.handshake(result);
    let transport = Transport::Tls(stream?);
    let protocol = if transport.is_http2_negotiated() { Protocol::Http2 } else { Protocol::Http1 };
    Some((transport, protocol))
}
