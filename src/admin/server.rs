//! The admin port's socket: accepts, bounds, and ends connections.
//!
//! HTTP/1.1 without TLS. A request's head takes at most 5 s, a connection without a request is closed after the same
//! time, and every connection ends after five minutes, whatever it does: a stalled scrape or a forgotten status page
//! holds nothing for long (the page connects again by itself). Beyond 64 connections, the next waits in the
//! kernel's queue. Spawns nothing itself: connections are handed to the caller's task tracker.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::health::Readiness;
use super::service::AdminService;
use super::snapshot::Snapshots;
use super::{RevocationActions, StreamViews};
use crate::runtime::panics::Panics;
use crate::telemetry::Metrics;
use crate::telemetry::logging::FilterHandle;

/// The admin port, ready to serve.
pub struct Admin {
    service: AdminService,
}

impl Admin {
    /// What the port tells, and whom it asks. Without `revocations`, `/revocations` is 404. `version` is shown on
    /// the status page.
    pub fn new(
        version: &str,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        introspect: Arc<dyn StreamViews>,
        revocations: Option<Arc<dyn RevocationActions>>,
    ) -> Self {
        let snapshots = Snapshots::new(version.to_owned(), metrics.clone(), readiness.clone(), introspect.clone());
        let panics = Panics::new({
            let metrics = metrics.clone();
            move |task| metrics.task_panicked(task)
        });
        let service = AdminService {
            metrics,
            panics,
            readiness,
            introspect,
            revocations,
            snapshots: Arc::new(snapshots),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            hosts: Vec::new(),
            filter: None,
        };
        Self { service }
    }

    /// Names that a request may call the port by, besides those that are its own anyway (see [`Settings::hosts`]).
    ///
    /// [`Settings::hosts`]: super::Settings::hosts
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.service.hosts = hosts;
        self
    }

    /// Lets operators change what is logged; `None`, the default: `/log-level` is 404.
    pub fn with_filter(mut self, filter: Option<FilterHandle>) -> Self {
        self.service.filter = filter;
        self
    }

    /// Serves a bound socket until `stop`, on the runtime that polls this. Then the socket is closed, open responses
    /// of the status page end, and the others have 5 s to finish.
    ///
    /// Each connection is one call of `spawn` with the name `admin connection`.
    ///
    /// # Errors
    /// When the socket cannot be made asynchronous. No error of a client or of accepting ends it.
    pub async fn serve(
        self,
        listener: TcpListener,
        spawn: impl Fn(&'static str, BoxFuture<'static, ()>),
        stop: CancellationToken,
    ) -> io::Result<()> {
        let service = Arc::new(self.service);
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            loop {
                let permit = connections.clone().acquire_owned().await.expect("nobody closes this semaphore");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (service, stop) = (service.clone(), stop.child_token());
                        let serving = async move {
                            connection(stream, service, stop).await;
                            drop(permit);
                        };
                        spawn("admin connection", Box::pin(serving));
                    }
                    // A client that left again, or no descriptors: the pause keeps the latter from spinning.
                    Err(error) => {
                        warn!(%error, "admin port cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accepting).await;
        Ok(())
    }
}

/// Serves one connection until its end, its age, or `shutdown`.
async fn connection(stream: TcpStream, service: Arc<AdminService>, shutdown: CancellationToken) {
    // Small answers that somebody waits for; without the option they would merely come later.
    let _ = stream.set_nodelay(true);
    let respond = {
        let shutdown = shutdown.clone();
        service_fn(move |request| {
            let (service, shutdown) = (service.clone(), shutdown.clone());
            async move { Ok::<_, Infallible>(service.respond(request, shutdown).await) }
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), respond)
    );
    // An error here is the client's: it left, or spoke no HTTP.
    if ended(timeout(MAX_AGE, shutdown.run_until_cancelled(connection.as_mut()))).await {
        return;
    }
    shutdown.cancel();
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Whether the connection came to its own end, and not to that of its time.
async fn ended<T, E>(serving: impl Future<Output = Result<Option<T>, E>>) -> bool {
    matches!(serving.await, Ok(Some(_)))
}

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Status pages and taps at once, of those.
const VIEWERS: usize = 16;
/// For a request's head, and between two requests of one connection. hyper has one timer for both.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection in all.
const MAX_AGE: Duration = Duration::from_secs(300);
/// For what is under way when a connection has to end.
const GRACE: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// hyper's read and write buffer, each; also the largest request head.
const BUFFER_BYTES: usize = 16 * 1024;
/// Most fields of a request's head.
const MOST_HEADERS: usize = 64;
