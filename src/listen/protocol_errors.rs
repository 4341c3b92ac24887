//! Errors that happen before a request reaches the service: requests that hyper rejects, and connections that time out.
//!
//! Each is counted. A request that got a response also has an access line, like one that reached a route. On HTTP/2
//! only errors of whole connections appear: h2 does not report the streams that it refuses itself (malformed, too
//! large, one too many).

use std::net::IpAddr;
use std::sync::Arc;

use tracing::info;

use super::service::Peer;
use super::timeouts::TimedOut;
use crate::telemetry::{ACCESS, ListenerMetrics, Protocol};

/// Reports the protocol errors of one connection.
#[derive(Clone)]
pub(super) struct ProtocolErrors {
    metrics: Arc<ListenerMetrics>,
    client: IpAddr,
    protocol: Protocol,
}

impl ProtocolErrors {
    /// Creates the reporter for a connection of `peer`.
    pub(super) fn new(metrics: Arc<ListenerMetrics>, peer: &Peer) -> Self {
        Self { metrics, client: peer.address.ip().to_canonical(), protocol: peer.protocol }
    }

    /// Reports the error that ended an HTTP/1 connection.
    pub(super) fn on_http1_error(&self, error: &hyper::Error) {
        let Some((status, reason)) = http1_refusal(error) else { return };
        self.metrics.refused_with(status, reason);
        if !self.metrics.acquire_refusal_line() {
            return;
        }
        info!(
            target: ACCESS,
            client = %self.client,
            route = "-",
            status,
            protocol = self.protocol.as_str(),
            reason,
            "answered"
        );
    }

    /// Reports the error that ended an HTTP/2 connection.
    pub(super) fn on_http2_error(&self, error: &h2::Error) {
        // h2 raised the error itself, because the client violated the protocol or a limit.
        if error.is_library() {
            self.metrics.refused("malformed");
        }
    }

    /// Counts a connection that is closed, or gets a GOAWAY, for `reason`.
    pub(super) fn on_refused(&self, reason: &'static str) {
        self.metrics.refused(reason);
    }

    /// Counts a connection that is closed after a timeout. An idle connection does not count as refused.
    pub(super) fn on_timeout(&self, timed_out: TimedOut) {
        match timed_out {
            TimedOut::Head(limit) => self.metrics.refused(limit),
            TimedOut::Idle => {}
        }
    }
}

/// Returns the status of hyper's response to a request that it could not parse, and the reason that is counted. Returns
/// `None` for other errors, which have no response.
fn http1_refusal(error: &hyper::Error) -> Option<(u16, &'static str)> {
    if !error.is_parse() {
        return None;
    }
    // hyper has one predicate for 414 and 431, and tells them apart only in its text, which may change. A test holds it
    // against the statuses that hyper sends.
    Some(match error.is_parse_too_large() {
        true if error.to_string().contains("URI") => (414, "uri_too_long"),
        true => (431, "headers"),
        false => (400, "malformed"),
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HEADER_BYTES: usize = 128 * 1024;

    /// Returns the error with which hyper ends the connection of such a client, and the response that the client gets.
    async fn refused_by_hyper(request: &str) -> (hyper::Error, String) {
        let (mut client, server) = duplex(4 * HEADER_BYTES);
        client.write_all(request.as_bytes()).await.expect("room");
        client.shutdown().await.expect("open");
        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let connection =
            http1::Builder::new().max_header_size(HEADER_BYTES).serve_connection(TokioIo::new(server), service);
        let error = connection.await.expect_err("no request is complete");
        let mut response = String::new();
        client.read_to_string(&mut response).await.expect("text");
        (error, response)
    }

    #[tokio::test]
    async fn a_refusal_is_counted_with_the_status_that_hyper_sends() {
        let long = "a".repeat(70_000);
        let large = "a".repeat(HEADER_BYTES);
        for (request, refusal) in [
            (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), (414, "uri_too_long")),
            (format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n"), (431, "headers")),
            (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(200)), (431, "headers")),
            ("GET / HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n".to_owned(), (400, "malformed")),
        ] {
            let (error, response) = refused_by_hyper(&request).await;

            assert_eq!(http1_refusal(&error), Some(refusal), "{error}");
            assert!(response.starts_with(&format!("HTTP/1.1 {} ", refusal.0)), "{response}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_early_is_not_refused() {
        let (error, response) = refused_by_hyper("GET / HTTP/1.1\r\nhost").await;

        assert_eq!((http1_refusal(&error), response.as_str()), (None, ""), "{error}");
    }
}
