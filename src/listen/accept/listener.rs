//! The accept loop of a listener, which dispatches connections to the workers in turn.
//!
//! The loop cannot fail and never waits for a client: handshakes run in the connection's own task. Each listener has
//! one socket and one loop, so all accept limits are enforced in one place and the cores get even shares.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::socket;
use crate::listen::connection::serve_connection;
use crate::listen::context::ListenerContext;
use crate::listen::service::{ResponseBody, Service};
use crate::listen::settings::{ClientAddress, Settings};
use crate::listen::tls::Tls;

/// Pause of the accept loop after an error, such as running out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Linux's EMFILE (limit of the process) and ENFILE (limit of the system).
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// A bound socket that is not accepted from yet.
pub struct Listener {
    settings: Settings,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Creates a listener for a bound socket.
    ///
    /// # Errors
    /// Returns the system's error if the socket has no address.
    pub fn new(settings: Settings, socket: TcpListener, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { settings, socket, address, tls })
    }

    /// Returns the bound address. With port 0 configured it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the configured settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the listener's TLS, if it has any.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Accepts until the gateway drains, and then empties the accept queue.
    pub async fn run<B: ResponseBody>(self, context: ListenerContext, service: impl Service<B>) {
        let socket = match tokio::net::TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => {
                return warn!(address = %self.address, %error, "cannot register the listener with the runtime");
            }
        };
        let handover = context.handover;
        let mut draining = context.draining.clone();
        {
            let mut closing = pin!(async {
                draining.started().await;
                handover.before_close(&socket).await;
            });
            let mut last_error = None;
            loop {
                let accepted = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = &mut closing => break,
                };
                match accepted {
                    Ok((tcp, address)) => {
                        // Connections over the rate wait in the kernel's queue.
                        context.accept_limits.acquire_accept(|| context.metrics.waits("accepts_per_second")).await;
                        last_error = None;
                        // The socket leaves this runtime here, because a worker's runtime registers it next.
                        if let Ok(tcp) = tcp.into_std() {
                            let panics = context.tasks.panics();
                            panics.catch("accept", &address, || dispatch(tcp, address, &context, service.clone()));
                        }
                    }
                    // The client closed the connection before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        if error.raw_os_error().is_some_and(|number| OUT_OF_DESCRIPTORS.contains(&number)) {
                            context.metrics.waits("open_files");
                        }
                        if last_error != Some(error.kind()) {
                            warn!(address = %self.address, %error, "cannot accept");
                            last_error = Some(error.kind());
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        if handover.has_own_queue()
            && let Ok(socket) = socket.into_std()
        {
            drain_backlog(&socket, &context, &service);
        }
    }
}

/// Accepts the queued connections, since closing the socket would reset them.
fn drain_backlog<B: ResponseBody>(socket: &TcpListener, context: &ListenerContext, service: &impl Service<B>) {
    for _ in 0..socket::BACKLOG {
        match socket.accept() {
            Ok((tcp, address)) => {
                context.tasks.panics().catch("accept", &address, || dispatch(tcp, address, context, service.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return,
        }
    }
}

/// Admits a connection and spawns its task on the next worker.
fn dispatch<B: ResponseBody>(tcp: TcpStream, address: SocketAddr, context: &ListenerContext, service: impl Service<B>) {
    context.metrics.accepted();
    let is_trusted_proxy = context.trusted_proxies.contains(address.ip());
    if context.client_address == ClientAddress::ProxyProtocol && !is_trusted_proxy {
        // An untrusted peer could claim any address, and a listener for proxies expects no other peers.
        context.metrics.refused("proxy_untrusted");
        return;
    }
    let admitted = match context.accept_limits.admission.admit(address.ip(), !is_trusted_proxy) {
        Ok(admitted) => admitted,
        // The connection is closed without a response. A response would cost a TLS handshake, for which there is no
        // room.
        Err(limit) => return context.metrics.refused(limit.label()),
    };
    let limits = context.limits.load_full();
    if socket::configure(&tcp, limits.stall_timeout).is_err() {
        return;
    }
    let worker = context.workers.next();
    let (tasks, context) = (context.tasks.clone(), context.clone());
    tasks.spawn_on(
        &worker,
        "connection",
        address,
        Box::pin(serve_connection(tcp, address, context, limits, service, admitted)),
    );
}
