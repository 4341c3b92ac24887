//! One connection: whose it is, TLS, its protocol, and then that protocol's server.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::accept::Admitted;
use super::connection_task::ConnectionTask;
use super::context::ListenerContext;
use super::protocol_errors::ProtocolErrors;
use super::proxy::{self, ProxiedPeer};
use super::service::{Peer, ResponseBody, Service};
use super::transport::Transport;
use super::{http1, http2};
use crate::limits::Limits;
use crate::telemetry::Protocol;

pub(super) async fn serve_connection<B: ResponseBody>(
    tcp: TcpStream,
    address: SocketAddr,
    around: ListenerContext,
    limits: Arc<Limits>,
    service: impl Service<B>,
    admitted: Admitted,
) {
    let Ok(tcp) = tokio::net::TcpStream::from_std(tcp) else { return };
    let (tcp, origin) = if around.proxy_protocol {
        let told = proxy::read_client(tcp, address, admitted, &around.trusted_proxies, limits.handshake_timeout);
        match told.await {
            Ok(told) => told,
            Err(why) => return around.metrics.refused(why),
        }
    } else {
        (tcp, ProxiedPeer { address, admitted })
    };
    let Some((transport, protocol)) = establish(tcp, origin.address, &around, &limits).await else {
        return;
    };
    let carrier =
        ConnectionTask::new(around.tasks.clone(), around.metrics.clone(), protocol, origin.address, origin.admitted);
    let peer = Peer {
        address: origin.address,
        protocol,
        is_tls: transport.is_tls(),
        server_name: transport.server_name().cloned(),
        is_over_ip_limit: carrier.is_over_ip_limit(),
        trusted_proxies: around.trusted_proxies.clone(),
        has_successor: around.handover.has_successor(),
    };
    let unserved = ProtocolErrors::new(around.metrics.clone(), &peer);
    match protocol {
        Protocol::Http2 => {
            let opening = http2::open(transport, peer, service, &limits, &around.tasks, unserved);
            if let Some(serving) = Box::pin(opening).await {
                carrier.carry(serving);
            }
        }
        Protocol::Http1 => {
            let draining = around.tasks.draining();
            let served = http1::serve(transport, peer, service, &limits, draining, &unserved);
            if let Some((writer, transport, held)) = Box::pin(served).await {
                writer(transport, held, carrier);
            }
        }
    }
}

/// Shakes hands or looks at the first bytes, within the handshake timeout.
async fn establish(
    tcp: tokio::net::TcpStream,
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
        around.accept_limits.acquire_handshake(|| metrics.waits("handshakes_per_second")).await;
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

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads as much of a plain connection as it takes to tell whether it speaks HTTP/2 with prior knowledge.
///
/// # Errors
/// When the connection ends before that.
async fn sniff(mut tcp: tokio::net::TcpStream) -> std::io::Result<(Transport, Protocol)> {
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
