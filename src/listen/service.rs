//! The seam between connections and the service that answers their requests.
//!
//! Generic over the service: nothing here knows what is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};

use super::proxy::TrustedProxies;
use crate::telemetry::Protocol;

/// What is known about a connection, given to the service with each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client: the other end of the connection, or whom a proxy speaks for there (PROXY protocol).
    pub address: SocketAddr,
    /// How it speaks.
    pub protocol: Protocol,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// The host name asked for in the TLS handshake.
    pub server_name: Option<Arc<str>>,
    /// Whether its address has more connections than it may.
    pub is_over_ip_limit: bool,
    /// Peers whose word about the client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether another process may take this listener's clients when this one leaves.
    pub has_successor: bool,
}

/// Answers requests; must not fail.
pub trait Service<B>:
    Fn(Request<RequestBodyInfo>) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

impl<B, F> Service<B> for F where
    F: Fn(Request<RequestBodyInfo>) -> BoxFuture<'static, Response<B>> + Clone + Send + Sync + Unpin + 'static
{
}

/// A request's body, which nobody reads.
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyInfo {
    /// Whether there is none.
    pub is_empty: bool,
}

/// What a response body must be.
pub trait ResponseBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
    /// Polled while what it gave last waits for the client to take it. Completes when the client has had its time and is
    /// to be cut off. `is_stalled`: it has taken nothing for as long as a client may.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_stalled: bool) -> Poll<()>;

    /// It has panicked on HTTP/2, and is dropped next.
    fn on_panic(&mut self);
}

impl Peer {
    /// Has the service know who asks.
    pub(super) fn attach_to(&self, mut request: Request<RequestBodyInfo>) -> Request<RequestBodyInfo> {
        request.extensions_mut().insert(self.clone());
        request
    }
}
