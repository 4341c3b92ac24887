//! Accepts connections and deals them out to the workers, one after the other.
//!
//! The accept loop cannot fail and does nothing slow: handshakes happen in the connection's own task. One socket and one
//! loop for each listener, so that all limits on accepting are in one place and the cores get even shares.

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
use crate::listen::settings::Settings;
use crate::listen::tls::Tls;

/// How long accepting rests when the process is out of descriptors.
const REST: Duration = Duration::from_millis(100);

/// Linux's numbers for that: EMFILE of the process, ENFILE of the system.
const OUT_OF_FILES: [i32; 2] = [24, 23];

/// A bound listener that does not accept yet.
pub struct Listener {
    settings: Settings,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// A listener on a socket that is bound already.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(settings: Settings, socket: TcpListener, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { settings, socket, address, tls })
    }

    /// Where it listens; with port 0 configured, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its TLS, if it has any.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Accepts until the gateway leaves, and then what has come until then.
    pub async fn run<B: ResponseBody>(self, around: ListenerContext, service: impl Service<B>) {
        let socket = match tokio::net::TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => return warn!(address = %self.address, %error, "cannot wait for connections"),
        };
        let handover = around.handover;
        let mut draining = around.leaving.clone();
        {
            let mut closing = pin!(async {
                draining.since().await;
                handover.prepare(&socket).await;
            });
            let mut trouble = None;
            loop {
                let accepted = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = &mut closing => break,
                };
                match accepted {
                    Ok((tcp, address)) => {
                        // What comes too fast waits in the kernel's queue.
                        around.accept_limits.acquire_accept(|| around.metrics.waits("accepts_per_second")).await;
                        trouble = None;
                        // Taken off this runtime: it is about to be registered with a worker's.
                        if let Ok(tcp) = tcp.into_std() {
                            let panics = around.tasks.panics();
                            panics.catch("accept", &address, || deal(tcp, address, &around, service.clone()));
                        }
                    }
                    // The client was gone before we looked: not our trouble.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        if error.raw_os_error().is_some_and(|number| OUT_OF_FILES.contains(&number)) {
                            around.metrics.waits("open_files");
                        }
                        if trouble != Some(error.kind()) {
                            warn!(address = %self.address, %error, "cannot accept");
                            trouble = Some(error.kind());
                        }
                        sleep(REST).await;
                    }
                }
            }
        }
        if handover.has_own_queue()
            && let Ok(socket) = socket.into_std()
        {
            empty(&socket, &around, &service);
        }
    }
}

/// Takes what is in the queue: closing the socket would reset it.
fn empty<B: ResponseBody>(socket: &TcpListener, around: &ListenerContext, service: &impl Service<B>) {
    for _ in 0..socket::BACKLOG {
        match socket.accept() {
            Ok((tcp, address)) => {
                around.tasks.panics().catch("accept", &address, || deal(tcp, address, around, service.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return,
        }
    }
}

fn deal<B: ResponseBody>(tcp: TcpStream, address: SocketAddr, around: &ListenerContext, service: impl Service<B>) {
    around.metrics.accepted();
    let is_trusted = around.trusted_proxies.contains(address.ip());
    if around.proxy_protocol && !is_trusted {
        // What it says about the client would be its own invention, and without that it is not expected here.
        around.metrics.refused("proxy_untrusted");
        return;
    }
    let admitted = match around.accept_limits.admission.admit(address.ip(), !is_trusted) {
        Ok(admitted) => admitted,
        // Closed at once: an answer would cost the handshake that there is no room for.
        Err(limit) => return around.metrics.refused(limit),
    };
    let limits = around.limits.load_full();
    if socket::prepare(&tcp, limits.stall_timeout).is_err() {
        return;
    }
    let worker = around.workers.next();
    let (tasks, around) = (around.tasks.clone(), around.clone());
    tasks.spawn_for(
        &worker,
        "connection",
        address,
        Box::pin(serve_connection(tcp, address, around, limits, service, admitted)),
    );
}
