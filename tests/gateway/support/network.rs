//! A bad network: a TCP proxy between a client and its server.
//!
//! Conditions apply to both directions of all connections, present and later, from the next piece on. A delay applies
//! to each piece in turn, so it also lowers throughput.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::transport::Transport;

/// A proxy with conditions; cuts its connections and closes its port when dropped.
pub struct Network {
    address: SocketAddr,
    conditions: Arc<watch::Sender<Conditions>>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Default)]
struct Conditions {
    delay: Duration,
    /// The largest write in bytes; 0: unlimited.
    slice: usize,
    stalled: Stalled,
    refusing: bool,
    /// Connections of an earlier generation are cut.
    generation: usize,
}

/// The directions in which nothing passes.
#[derive(Clone, Copy, Default)]
struct Stalled {
    to_target: bool,
    from_target: bool,
}

impl Network {
    /// Listens on a port of its own and connects each client to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let conditions = Arc::new(watch::Sender::new(Conditions::default()));
        let accepting = tokio::spawn(accept(listener, target, conditions.clone()));
        Self { address, conditions, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays every piece by this time.
    pub fn delay(&self, delay: Duration) {
        self.conditions.send_modify(|conditions| conditions.delay = delay);
    }

    /// Writes at most this many bytes at a time; 0: unlimited.
    pub fn slice(&self, bytes: usize) {
        self.conditions.send_modify(|conditions| conditions.slice = bytes);
    }

    /// Stops reading and forwarding until `resume`.
    pub fn stall(&self) {
        self.set_stalled(Stalled { to_target: true, from_target: true });
    }

    /// The same for what clients send.
    pub fn stall_to_target(&self) {
        self.set_stalled(Stalled { to_target: true, from_target: false });
    }

    /// The same for what the target sends.
    pub fn stall_from_target(&self) {
        self.set_stalled(Stalled { to_target: false, from_target: true });
    }

    pub fn resume(&self) {
        self.set_stalled(Stalled::default());
    }

    fn set_stalled(&self, stalled: Stalled) {
        self.conditions.send_modify(|conditions| conditions.stalled = stalled);
    }

    /// Resets every connection on both sides; new ones are accepted.
    pub fn cut(&self) {
        self.conditions.send_modify(|conditions| conditions.generation += 1);
    }

    /// Sets whether new connections are reset at once.
    pub fn refuse(&self, refusing: bool) {
        self.conditions.send_modify(|conditions| conditions.refusing = refusing);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, conditions: Arc<watch::Sender<Conditions>>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut conditions = conditions.subscribe();
        if conditions.borrow().refusing {
            client.reset_on_close();
            continue;
        }
        let generation = conditions.borrow_and_update().generation;
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return client.reset_on_close() };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (mut client, mut server) = (client, server);
            let finished = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                let (up, down) = (conditions.clone(), conditions.clone());
                tokio::select! {
                    _ = async {
                        tokio::join!(
                            carry(from_client, to_server, up, |stalled| stalled.to_target),
                            carry(from_server, to_client, down, |stalled| stalled.from_target),
                        )
                    } => true,
                    _ = conditions.wait_for(|now| now.generation != generation) => false,
                }
            };
            if !finished {
                client.reset_on_close();
                server.reset_on_close();
            }
        });
    }
}

/// Copies one direction until its end, and forwards the end.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut conditions: watch::Receiver<Conditions>,
    is_stalled: fn(Stalled) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if conditions.wait_for(|now| !is_stalled(now.stalled)).await.is_err() {
            break;
        }
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let Ok(Conditions { delay, slice, .. }) =
            conditions.wait_for(|now| !is_stalled(now.stalled)).await.map(|now| *now)
        else {
            break;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        for piece in buffer[..read].chunks(if slice == 0 { read } else { slice }) {
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown().await;
}
