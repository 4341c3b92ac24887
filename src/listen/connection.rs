//! One accepted connection: the PROXY header, TLS, the protocol, and then that protocol's server.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::{Admitted, Overdue};
use super::connection_task::ConnectionTask;
use super::context::ListenerContext;
use super::protocol_errors::ProtocolErrors;
use super::proxy::{self, ProxiedPeer};
use super::service::{Peer, ResponseBody, Service};
use super::settings::ClientAddress;
use super::tls::ReceivedHello;
use super::transport::Transport;
use super::{http1, http2};
use crate::limits::Limits;
use crate::telemetry::Protocol;

/// Serves a connection: reads its PROXY header and does its TLS handshake, where configured, then serves HTTP on it.
///
/// The connection keeps `limits` for its lifetime. On HTTP/2 and after a handoff it continues in a task of its own, which
/// is smaller than this one.
pub(super) async fn serve_connection<B: ResponseBody>(
    tcp: TcpStream,
    address: SocketAddr,
    context: ListenerContext,
    limits: Arc<Limits>,
    service: impl Service<B>,
    admitted: Admitted,
) {
    let Ok(tcp) = tokio::net::TcpStream::from_std(tcp) else { return };
    let (tcp, client) = if context.client_address == ClientAddress::ProxyProtocol {
        let read = proxy::read_client(tcp, address, admitted, &context.trusted_proxies, limits.handshake_timeout);
        match read.await {
            Ok(read) => read,
            Err(refusal) => return context.metrics.refused(refusal.label()),
        }
    } else {
        (tcp, ProxiedPeer { address, admitted })
    };
    let Some((transport, protocol)) = detect_protocol(tcp, client.address, &context, &limits).await else {
        return;
    };
    let task =
        ConnectionTask::new(context.tasks.clone(), context.metrics.clone(), protocol, client.address, client.admitted);
    let peer = Arc::new(Peer {
        address: client.address,
        protocol,
        is_tls: transport.is_tls(),
        server_name: transport.server_name().cloned(),
        is_over_ip_limit: task.is_over_ip_limit(),
        trusted_proxies: context.trusted_proxies.clone(),
        client_address: context.client_address,
        has_successor: context.handover.has_successor(),
    });
    let protocol_errors = ProtocolErrors::new(context.metrics.clone(), &peer);
    match protocol {
        Protocol::Http2 => {
            let ListenerContext { tasks, ledger, .. } = &context;
            let handshake = http2::handshake(transport, peer, service, &limits, tasks, ledger, protocol_errors);
            if let Some(connection) = Box::pin(handshake).await {
                task.spawn(connection);
            }
        }
        Protocol::Http1 => {
            let draining = context.tasks.draining();
            Box::pin(http1::serve(transport, peer, service, &limits, draining, &protocol_errors, task)).await;
        }
    }
}

/// Does the TLS handshake, or reads the first bytes of a plain connection, to learn the protocol.
///
/// Returns `None` if that fails or takes longer than `handshake_timeout`, or `header_timeout` without TLS.
async fn detect_protocol(
    tcp: tokio::net::TcpStream,
    client: SocketAddr,
    context: &ListenerContext,
    limits: &Limits,
) -> Option<(Transport, Protocol)> {
    let metrics = &context.metrics;
    let Some(tls) = &context.tls else {
        let sniffed = timeout(limits.header_timeout, sniff(tcp)).await;
        // A client that leaves before it sends anything, such as a probe, does not count as refused.
        return sniffed.inspect_err(|_| metrics.refused("header_timeout")).ok()?.ok();
    };
    let deadline = Instant::now() + limits.handshake_timeout;
    // Boxed, because this is needed only for a moment and would make the connection's task larger.
    let handshake = Box::pin(async {
        let mut hello = ReceivedHello::read(tcp).await?;
        let is_trusted_proxy = context.trusted_proxies.contains(client.ip());
        let owner = (!is_trusted_proxy).then(|| client.ip());
        let turn = context.accept_limits.acquire_handshake(owner, deadline, || metrics.waits("handshakes_per_second"));
        tokio::select! {
            biased;
            turn = turn => if turn == Err(Overdue) { return Ok(None) },
            left = hello.client_left() => return Err(left),
        }
        tls.accept(hello).await.map(Some)
    });
    let (result, stream) = match timeout_at(deadline, handshake).await {
        Ok(Ok(Some(stream))) => ("ok", Some(stream)),
        Ok(Err(error)) => {
            context.handshake_log.refused(client, &error);
            ("refused", None)
        }
        Ok(Ok(None)) | Err(_) => {
            let after = limits.handshake_timeout.as_secs_f64();
            context
                .handshake_log
                .refused(client, &format_args!("timed out after {after} s (limits.handshake_timeout)"));
            ("timeout", None)
        }
    };
    metrics.handshake(result);
    let transport = Transport::Tls(stream?);
    let protocol = if transport.is_http2_negotiated() { Protocol::Http2 } else { Protocol::Http1 };
    Some((transport, protocol))
}

/// The client's connection preface for HTTP/2 with prior knowledge (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads a plain connection until its bytes differ from the HTTP/2 preface, or match all of it.
///
/// # Errors
/// Returns `UnexpectedEof` if the connection ends before that.
async fn sniff(mut tcp: tokio::net::TcpStream) -> io::Result<(Transport, Protocol)> {
    let mut read_ahead = BytesMut::with_capacity(PREFACE.len());
    loop {
        let is_http2 = read_ahead == PREFACE;
        if is_http2 || !PREFACE.starts_with(&read_ahead) {
            let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            return Ok((Transport::Plain { tcp, read_ahead: read_ahead.freeze() }, protocol));
        }
        let mut part = (&mut tcp).take((PREFACE.len() - read_ahead.len()) as u64);
        if part.read_buf(&mut read_ahead).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
