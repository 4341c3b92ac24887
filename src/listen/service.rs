//! The interface between connections and the service that answers their requests.
//!
//! Generic over the service: nothing here knows what is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http::request::Parts;

use super::http1::Handoff;
use super::proxy::TrustedProxies;
use super::request_body::RequestBody;
use super::settings::ClientAddress;
use crate::telemetry::Protocol;

/// The facts about a connection. Its requests share them.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address: the other end of the connection, or the address in the PROXY protocol header.
    pub address: SocketAddr,
    /// The protocol of the connection.
    pub protocol: Protocol,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// The server name of the TLS handshake (RFC 6066, 3).
    pub server_name: Option<Arc<str>>,
    /// Whether the client's address is over its connection limit.
    pub is_over_ip_limit: bool,
    /// Proxies that are trusted to report the client's address.
    pub trusted_proxies: TrustedProxies,
    /// The source of the client's address.
    pub client_address: ClientAddress,
    /// Whether another process may take over this listener's clients during a drain.
    pub has_successor: bool,
}

/// A request, as its connection passes it to the service.
pub struct IncomingRequest {
    /// The request line and the header fields.
    pub head: Parts,
    /// The connection that brought the request.
    pub peer: Arc<Peer>,
    /// Whether another reader of the same bytes could read another request: because of a bare LF, or two lengths. Such a
    /// request may be answered, but not sent on.
    pub is_ambiguous: bool,
    /// Whether the body is empty.
    pub is_body_empty: bool,
    /// The body. Nothing of it is read unless the service does, or takes it. Whoever has it holds it until the response
    /// begins: h2 charges small unread frames of a dropped body against the whole connection.
    pub body: Option<RequestBody>,
    /// Decides who writes the response. `None` on HTTP/2.
    pub handoff: Option<Handoff>,
}

/// Answers requests. It must not fail.
pub trait Service<B>:
    Fn(IncomingRequest) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

impl<B, F> Service<B> for F where
    F: Fn(IncomingRequest) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

/// The longest time between two checks of the deadlines of a client for which bytes wait.
pub const DEADLINE_INTERVAL: Duration = Duration::from_secs(1);

/// The requirements on a response body.
pub trait ResponseBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
    /// Polled while the last chunk waits for the client, at least once in each [`DEADLINE_INTERVAL`]. Completes when the
    /// client must be disconnected.
    ///
    /// `is_stalled` is true once the client has taken no bytes for `stall_timeout`.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool, stall_timeout: Duration) -> Poll<()>;

    /// Called after the body has panicked on HTTP/2. It is dropped next.
    fn on_panic(&mut self);
}
