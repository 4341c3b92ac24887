//! Connections to an origin: name resolution, TCP to one of its addresses, and TLS for `https`.
//!
//! Resolving ends within the connect timeout, waiting for a place among the attempts within the same time again, and TCP
//! and TLS together likewise. A peer that vanishes without closing is noticed within a minute. Several addresses share the
//! timeout (RFC 8305, in hyper-util's connector), so an address that drops packets does not hide the next one. Nothing
//! here speaks HTTP.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Ready, ready};
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::error_text::io_reason;
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::{ConnectBudget, MAX_ATTEMPTS};
use crate::runtime::excerpt::truncate;
use crate::runtime::human_duration::format_duration;

/// A byte stream in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to the origin, with TLS if its scheme is `https`. Takes name lookups and the attempt from `budget`.
///
/// # Errors
/// Returns the address and the reason as text if there is no connection.
pub(crate) async fn connect(
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
) -> Result<Box<dyn Io>, String> {
    let limit = settings.connect_timeout;
    let addresses = resolve(budget, settings, origin).await?;
    let permit = budget.acquire_attempt(&settings.name, origin.address(), Instant::now() + limit).await;
    let Some(_permit) = permit else {
        let waited = format_duration(limit);
        let reason = format!("{MAX_ATTEMPTS} connection attempts are in progress, no place within {waited}");
        return Err(cannot_connect(origin, &reason));
    };
    let connected = timeout(limit, connect_any(settings, origin, addresses)).await;
    connected.unwrap_or_else(|_| Err(timed_out(limit))).map_err(|reason| cannot_connect(origin, &reason))
}

/// Resolves the origin's addresses, in the system's order of preference.
async fn resolve(
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
) -> Result<Vec<SocketAddr>, String> {
    let (host, limit) = (origin.host(), settings.connect_timeout);
    let owner = format!("upstreams.{}", settings.name);
    let addresses = budget.resolver().resolve(&owner, host, origin.port(), Instant::now() + limit).await;
    addresses.map_err(|error| {
        let is_late = error.kind() == io::ErrorKind::TimedOut;
        let reason = if is_late { timed_out(limit) } else { io_reason(&error) };
        format!("cannot resolve {host}: {reason}")
    })
}

async fn connect_any(
    settings: &UpstreamSettings,
    origin: &Origin,
    addresses: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, String> {
    let uri = Uri::builder().scheme(origin.scheme.clone()).authority(origin.authority.clone()).path_and_query("/");
    let uri = uri.build().expect("an origin is the beginning of a URL");
    let tcp = tcp_connector(addresses, settings.connect_timeout).call(uri).await;
    let tcp = tcp.map_err(|error| match root_cause(&error).downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::TimedOut => timed_out(settings.connect_timeout),
        Some(cause) => io_reason(cause),
        None => truncate(&error.to_string()),
    })?;
    let tcp = tcp.into_inner();
    if !origin.is_tls() {
        return Ok(Box::new(tcp));
    }
    let config = settings.tls.clone().expect("an upstream with an https origin has a TLS configuration");
    let name =
        ServerName::try_from(origin.host().to_owned()).map_err(|_| "the host is not a valid server name".to_owned())?;
    let tls = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await;
    let tls = tls.map_err(|error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) if settings.http2.is_some() => {
            NO_HTTP2.to_owned()
        }
        _ => format!("TLS handshake failed: {}", io_reason(&error)),
    })?;
    // A server that ignores ALPN agrees on nothing.
    if settings.http2.is_some() && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(NO_HTTP2.to_owned());
    }
    Ok(Box::new(tls))
}

fn tcp_connector(addresses: Vec<SocketAddr>, limit: Duration) -> HttpConnector<StaticResolver> {
    let mut connector = HttpConnector::new_with_resolver(StaticResolver(addresses));
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(limit));
    // With a short timeout the other address family gets its turn earlier.
    connector.set_happy_eyeballs_timeout(Some(FALLBACK_DELAY.min(limit / 4)));
    connector.set_nodelay(true);
    // A quiet upstream may be gone. Keepalive probes detect that on an idle connection, the user timeout while bytes
    // are unacknowledged.
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(PROBE_INTERVAL));
    connector.set_keepalive_retries(Some(MAX_PROBES));
    connector.set_tcp_user_timeout(Some(USER_TIMEOUT));
    connector
}

fn cannot_connect(origin: &Origin, reason: &str) -> String {
    format!("cannot connect to {}: {reason}", origin.address())
}

fn timed_out(after: Duration) -> String {
    format!("timed out after {}", format_duration(after))
}

/// Returns the innermost cause.
fn root_cause<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut root_cause = error;
    while let Some(cause) = root_cause.source() {
        root_cause = cause;
    }
    root_cause
}

/// A resolver that returns known addresses. They were resolved before, with a timeout of their own.
#[derive(Clone)]
struct StaticResolver(Vec<SocketAddr>);

impl Service<Name> for StaticResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// The reason for which a server with TLS is not used with `http2`.
const NO_HTTP2: &str = "the server does not offer HTTP/2 (ALPN): set http2 = false for HTTP/1.1";

/// Delay before the second address family is tried as well (RFC 8305, 8: "Connection Attempt Delay").
const FALLBACK_DELAY: Duration = Duration::from_millis(250);

/// Idle time before the kernel sends the first keepalive probe.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Time between keepalive probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Unanswered probes after which the kernel closes the connection, 50 s after the last sign of life.
const MAX_PROBES: u32 = 3;

/// Longest time for which sent bytes may stay unacknowledged. It ends just before the last probe's time, because on
/// Linux it applies to probes as well.
const USER_TIMEOUT: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use socket2::{Domain, SockRef, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    fn origin(url: &str) -> Origin {
        let uri: Uri = url.parse().expect("a URL");
        let (scheme, authority) = (uri.scheme().expect("a scheme"), uri.authority().expect("an authority"));
        Origin { scheme: scheme.clone(), authority: authority.clone(), base: String::new(), query: String::new() }
    }

    #[tokio::test]
    async fn a_peer_that_vanishes_is_noticed_within_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let uri = format!("http://{address}/").parse().expect("a URL");

        let socket =
            tcp_connector(vec![address], Duration::from_secs(3)).call(uri).await.expect("a connection").into_inner();

        let socket = SockRef::from(&socket);
        let (time, interval) = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
        let (time, interval) = (time.expect("a time"), interval.expect("an interval"));
        let probes = socket.tcp_keepalive_retries().expect("a number");
        assert!(socket.keepalive().expect("a flag"));
        assert!(time + interval * probes < Duration::from_secs(60), "{time:?} + {probes} * {interval:?}");
        let unacknowledged = socket.tcp_user_timeout().expect("a time").expect("it is set");
        // The kernel checks it when a probe is due.
        assert!(unacknowledged + interval < Duration::from_secs(60), "{unacknowledged:?}");
        assert!(socket.tcp_nodelay().expect("a flag"));
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = listener.local_addr().expect("an address");
        let refusing = SocketAddr::from(([127, 0, 0, 2], good.port()));
        let uri = format!("http://producer.test:{}/", good.port()).parse().expect("a URL");

        let socket = tcp_connector(vec![refusing, good], Duration::from_secs(3)).call(uri).await.expect("a connection");

        assert_eq!(socket.into_inner().peer_addr().expect("an address"), good);
    }

    #[tokio::test]
    async fn an_address_that_drops_packets_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = listener.local_addr().expect("an address");
        let hole = SocketAddr::from(([127, 0, 0, 3], good.port()));
        let full_listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        full_listener.bind(&hole.into()).expect("a free port there too");
        full_listener.listen(0).expect("a queue");
        // A full accept queue makes the kernel drop further handshakes.
        let _queued: Vec<_> = (0..4)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                client.set_nonblocking(true).expect("a flag");
                let _ = client.connect(&hole.into());
                client
            })
            .collect();
        let connect = |addresses| {
            let uri = format!("http://producer.test:{}/", good.port()).parse().expect("a URL");
            tcp_connector(addresses, Duration::from_secs(1)).call(uri)
        };

        assert!(connect(vec![hole]).await.is_err(), "packets are dropped");
        let socket = connect(vec![hole, good]).await.expect("a connection");

        assert_eq!(socket.into_inner().peer_addr().expect("an address"), good);
    }

    #[test]
    fn reasons_are_plain_text() {
        let refused = io::Error::from_raw_os_error(111);
        let tls = io::Error::other("TLS alert");

        assert_eq!(
            cannot_connect(&origin("http://10.0.0.5:9000"), &io_reason(&refused)),
            "cannot connect to 10.0.0.5:9000: connection refused"
        );
        assert_eq!(
            cannot_connect(&origin("https://[::1]"), &timed_out(Duration::from_secs(3))),
            "cannot connect to [::1]:443: timed out after 3 s"
        );
        assert_eq!(io_reason(&tls), "TLS alert");
    }
}
