//! The demo's balancer: each TCP connection goes to the next gateway that runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::gateways::DemoGateways;
use crate::demo::producer::Spawn;

/// A bound port whose connections are passed on to the gateways.
#[derive(Debug)]
pub struct DemoBalancer {
    listener: TcpListener,
    address: SocketAddr,
}

impl DemoBalancer {
    /// Binds this port of 127.0.0.1 (0: a free one).
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns the address of the balancer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes connections on until the gateways are stopped.
    pub fn serve(self, gateways: &Arc<DemoGateways>, spawn: &Spawn) {
        spawn(gateways.clone().until_stopped(accept(self.listener, gateways.clone(), spawn.clone())));
    }
}

async fn accept(listener: TcpListener, gateways: Arc<DemoGateways>, spawn: Spawn) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    for turn in 0_usize.. {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((client, _)) = listener.accept().await else {
            // Most likely out of file descriptors, so an immediate retry would not help.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let addresses = gateways.addresses();
        spawn(gateways.clone().until_stopped(async move {
            pass_on(client, &addresses, turn).await;
            drop(permit);
        }));
    }
}

/// Connects to the first gateway that accepts, beginning with the one whose turn it is, and copies both ways. Without a
/// gateway the client's connection is closed, and the client comes back.
async fn pass_on(mut client: TcpStream, addresses: &[SocketAddr], turn: usize) {
    for offset in 0..addresses.len() {
        if let Ok(mut gateway) = TcpStream::connect(addresses[(turn + offset) % addresses.len()]).await {
            let _ = client.set_nodelay(true).and_then(|()| gateway.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut gateway).await;
            return;
        }
    }
}

/// Maximum number of connections of the demo; one more waits.
const MAX_CONNECTIONS: usize = 1000;
