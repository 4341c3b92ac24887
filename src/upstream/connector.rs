//! A connection to an origin: its name resolved, TCP established at one of its addresses, TLS where the URL says so.
//!
//! Always true: resolving ends within the connect timeout, and TCP and TLS together within the same time again; and
//! a peer that vanishes without a word is noticed within a minute. Several addresses share the time (RFC 8305, by
//! hyper-util's connector), so that one that swallows packets does not hide the next. Speaks no HTTP.

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
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::excerpt::shortened;
use super::target::{Origin, UpstreamSettings};
use crate::runtime::human_duration::format_duration;

/// Anything that carries bytes both ways.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to the origin, with TLS if it is an `https` one.
///
/// # Errors
/// Where there is no connection, and why, in words.
pub(super) async fn connect(target: &UpstreamSettings, origin: &Origin) -> Result<Box<dyn Io>, String> {
    let within = target.connect_timeout;
    let addresses = resolve(origin, within).await?;
    let connected = timeout(within, establish(target, origin, addresses)).await;
    connected.unwrap_or_else(|_| Err(timed_out(within))).map_err(|why| cannot_connect(origin, &why))
}

/// The origin's addresses, as the system orders them.
async fn resolve(origin: &Origin, within: Duration) -> Result<Vec<SocketAddr>, String> {
    let host = origin.host();
    match timeout(within, lookup_host((host, origin.port()))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(format!("cannot resolve {host}: {}", reason(&error))),
        Err(_) => Err(format!("cannot resolve {host}: {}", timed_out(within))),
    }
}

async fn establish(
    target: &UpstreamSettings,
    origin: &Origin,
    addresses: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, String> {
    let uri = Uri::builder().scheme(origin.scheme.clone()).authority(origin.authority.clone()).path_and_query("/");
    let uri = uri.build().expect("an origin is the beginning of a URL");
    let tcp = connector(addresses, target.connect_timeout).call(uri).await;
    let tcp = tcp.map_err(|error| match root(&error).downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::TimedOut => timed_out(target.connect_timeout),
        Some(cause) => reason(cause),
        None => shortened(&error.to_string()),
    })?;
    let tcp = tcp.into_inner();
    if !origin.is_tls() {
        return Ok(Box::new(tcp));
    }
    let config = target.tls.clone().expect("a target with an https origin has a TLS configuration");
    let name = ServerName::try_from(origin.host().to_owned()).map_err(|_| "the host is no server name".to_owned())?;
    let tls = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await;
    let tls = tls.map_err(|error| format!("TLS handshake failed: {}", reason(&error)))?;
    Ok(Box::new(tls))
}

fn connector(addresses: Vec<SocketAddr>, within: Duration) -> HttpConnector<Resolved> {
    let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(within));
    // The other address family gets its turn also where there is little time.
    connector.set_happy_eyeballs_timeout(Some(FALLBACK_DELAY.min(within / 4)));
    connector.set_nodelay(true);
    // A quiet upstream may be a dead one. Probes find out where nothing is under way, the user timeout where something is.
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(PROBE_INTERVAL));
    connector.set_keepalive_retries(Some(PROBES));
    connector.set_tcp_user_timeout(Some(USER_TIMEOUT));
    connector
}

fn cannot_connect(origin: &Origin, why: &str) -> String {
    format!("cannot connect to {}: {why}", origin.address())
}

fn timed_out(after: Duration) -> String {
    format!("timed out after {}", format_duration(after))
}

/// The error behind all others.
fn root<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root
}

/// The system's words without its numbers: "connection refused".
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut chars = text.chars();
    match chars.next() {
        // Not an abbreviation, such as "TLS".
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            shortened(&format!("{}{}", first.to_lowercase(), chars.as_str()))
        }
        _ => shortened(text),
    }
}

/// A resolver that has resolved already, within a time of its own.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
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

/// How long the first address family is tried alone (RFC 8305, 8: "Connection Attempt Delay").
const FALLBACK_DELAY: Duration = Duration::from_millis(250);

/// Silence after which the kernel asks whether the upstream's host is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Between two such questions.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer that end the connection: 50 s after the last sign of life.
const PROBES: u32 = 3;

/// How long bytes may stay unacknowledged. Just before the last probe's time is up, since on Linux it counts for probes too.
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
            connector(vec![address], Duration::from_secs(3)).call(uri).await.expect("a connection").into_inner();

        let socket = SockRef::from(&socket);
        let (time, interval) = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
        let (time, interval) = (time.expect("a time"), interval.expect("an interval"));
        let probes = socket.tcp_keepalive_retries().expect("a number");
        assert!(socket.keepalive().expect("a flag"));
        assert!(time + interval * probes < Duration::from_secs(60), "{time:?} + {probes} * {interval:?}");
        let unacknowledged = socket.tcp_user_timeout().expect("a time").expect("it is set");
        // The kernel looks at it when a probe is due.
        assert!(unacknowledged + interval < Duration::from_secs(60), "{unacknowledged:?}");
        assert!(socket.tcp_nodelay().expect("a flag"));
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = listener.local_addr().expect("an address");
        let refusing = SocketAddr::from(([127, 0, 0, 2], good.port()));
        let uri = format!("http://producer.test:{}/", good.port()).parse().expect("a URL");

        let socket = connector(vec![refusing, good], Duration::from_secs(3)).call(uri).await.expect("a connection");

        assert_eq!(socket.into_inner().peer_addr().expect("an address"), good);
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = listener.local_addr().expect("an address");
        let hole = SocketAddr::from(([127, 0, 0, 3], good.port()));
        let swallowing = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        swallowing.bind(&hole.into()).expect("a free port there too");
        swallowing.listen(0).expect("a queue");
        // Its queue is full, so that the kernel drops what else comes.
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
            connector(addresses, Duration::from_secs(1)).call(uri)
        };

        assert!(connect(vec![hole]).await.is_err(), "it swallows");
        let socket = connect(vec![hole, good]).await.expect("a connection");

        assert_eq!(socket.into_inner().peer_addr().expect("an address"), good);
    }

    #[tokio::test]
    async fn a_name_that_is_none_cannot_be_resolved() {
        let why = resolve(&origin("http://producer.invalid:9000"), Duration::from_secs(30)).await.expect_err("no name");

        assert!(why.starts_with("cannot resolve producer.invalid: "), "{why}");
        assert!(!why.contains("os error"), "{why}");
    }

    #[test]
    fn reasons_are_in_plain_words() {
        let refused = io::Error::from_raw_os_error(111);
        let tls = io::Error::other("TLS alert");

        assert_eq!(
            cannot_connect(&origin("http://10.0.0.5:9000"), &reason(&refused)),
            "cannot connect to 10.0.0.5:9000: connection refused"
        );
        assert_eq!(
            cannot_connect(&origin("https://[::1]"), &timed_out(Duration::from_secs(3))),
            "cannot connect to [::1]:443: timed out after 3 s"
        );
        assert_eq!(reason(&tls), "TLS alert");
    }
}
