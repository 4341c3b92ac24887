//! The admin port's socket: accepts, bounds and closes connections.
//!
//! HTTP/1.1 without TLS. A request head may take 5 s, an idle connection is closed after the same time, and every
//! connection ends after five minutes, or after 10 s in which its peer reads nothing. A stalled scrape or a forgotten
//! status page therefore holds nothing for long; the page reconnects by itself. Beyond 64 connections, a few more are
//! accepted for probes only. Spawns nothing itself: it hands connections to the caller's task tracker.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::context::AdminContext;
use super::permits::{ConnectionPermit, ConnectionPermits, RequestScope};
use super::reply::problem;
use super::service::AdminService;
use super::write_timeout::WriteTimeout;
use crate::telemetry::Room;

/// The admin port, ready to serve.
pub struct Admin {
    service: AdminService,
    permits: ConnectionPermits,
}

impl Admin {
    /// Makes the port for these data sources.
    pub fn new(context: AdminContext) -> Self {
        let permits = ConnectionPermits::new(context.limits.clone(), context.metrics.shares().on_refusal(Room::Admin));
        Self { service: AdminService::new(context, VIEWERS), permits }
    }

    /// Serves a bound socket until `stop`, on the runtime that polls this. Then closes the socket, ends open responses
    /// of the status page and gives other responses 5 s to finish.
    ///
    /// Calls `spawn` once for each connection, with the name `admin connection`.
    ///
    /// # Errors
    /// The socket cannot be made asynchronous. Errors of clients and of accepting do not end it.
    pub async fn serve(
        self,
        listener: TcpListener,
        spawn: impl Fn(&'static str, BoxFuture<'static, ()>),
        stop: CancellationToken,
    ) -> io::Result<()> {
        let (service, permits) = (Arc::new(self.service), self.permits);
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let accepting = async {
            loop {
                let pending = permits.available().await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let Some(permit) = permits.admit(peer.ip(), pending) else { continue };
                        let serving = connection(stream, permit, service.clone(), stop.child_token());
                        spawn("admin connection", Box::pin(serving));
                    }
                    // The client has disconnected, or the process is out of file descriptors. The pause avoids a hot
                    // loop in the second case.
                    Err(error) => {
                        warn!(%error, "the admin port cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        // Neither ends before `stop`.
        stop.run_until_cancelled(future::join(accepting, service.record_totals())).await;
        Ok(())
    }
}

/// Serves one connection until it ends, reaches its maximum age, or `shutdown`.
async fn connection(
    stream: TcpStream,
    permit: ConnectionPermit,
    service: Arc<AdminService>,
    shutdown: CancellationToken,
) {
    // Sends small answers at once, and lets the kernel keep little for a client that does not read. Without the options
    // answers are slower, and such a client is cut off later.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    let scope = permit.scope;
    let max_age = match scope {
        RequestScope::AllPaths => MAX_AGE,
        RequestScope::Probes => PROBE_MAX_AGE,
    };
    let respond = {
        let shutdown = shutdown.clone();
        service_fn(move |request: Request<Incoming>| {
            let (service, shutdown) = (service.clone(), shutdown.clone());
            async move {
                if scope == RequestScope::Probes && !PROBE_PATHS.contains(&request.uri().path()) {
                    return Ok::<_, Infallible>(problem(StatusCode::SERVICE_UNAVAILABLE, FULL));
                }
                Ok(service.respond(request, shutdown).await)
            }
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(MOST_HEADERS)
            .keep_alive(scope == RequestScope::AllPaths)
            .serve_connection(TokioIo::new(WriteTimeout::new(stream)), respond)
    );
    // An error here is the client's: it disconnected or sent something other than HTTP.
    if ended(timeout(max_age, shutdown.run_until_cancelled(connection.as_mut()))).await {
        return;
    }
    shutdown.cancel();
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Returns whether the connection ended by itself and not by its age or the shutdown.
async fn ended<T, E>(serving: impl Future<Output = Result<Option<T>, E>>) -> bool {
    matches!(serving.await, Ok(Some(_)))
}

/// The paths that are served to probes and scrapers while all other permits are in use.
const PROBE_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// The answer to other requests then.
const FULL: &str = "too many connections: only /livez, /readyz and /metrics are answered";
/// Maximum number of status pages and taps among the connections.
const VIEWERS: usize = 16;
/// The time for a request head, and between two requests on a connection. hyper has one timer for both.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum age of a connection.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The maximum age of a connection that may only probe. It serves one request.
const PROBE_MAX_AGE: Duration = Duration::from_secs(5);
/// The time for a response in progress when its connection has to end.
const GRACE: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The size of hyper's read buffer and of its write buffer, and the maximum size of a request head.
const BUFFER_BYTES: usize = 16 * 1024;
/// Unsent bytes that the kernel buffers for a client before the socket is full.
const UNSENT_BYTES: u32 = 16 * 1024;
/// Maximum number of fields in a request head.
const MOST_HEADERS: usize = 64;
