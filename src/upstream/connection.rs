//! One HTTP/1.1 connection to an origin, and the one response that is read from it.
//!
//! HTTP/1.1 is a choice: a stream occupies its connection anyway, and on HTTP/2 one stalled stream can starve its
//! siblings. There is no pool. Reading the body drives the connection, and dropping the exchange closes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connector::{Io, connect, io_reason};
use super::limited_reads::LimitedReads;
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::excerpt::truncate;

type Driver = http1::Connection<TokioIo<LimitedReads<Box<dyn Io>>>, Full<Bytes>>;

/// Most bytes of a response head, for which hyper's read buffer may grow.
const HEAD_BYTES: usize = 64 * 1024;

/// The reasons for which there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The connection could not be established.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was closed before a response arrived.
    #[error("{0}")]
    Closed(String),
    /// The bytes on the connection are not an HTTP response.
    #[error("{0}")]
    InvalidResponse(String),
}

/// A response together with the connection that its body is read from.
pub(super) struct UpstreamExchange {
    driver: Option<Driver>,
    /// Status and headers. The body is read with [`poll_data`](Self::poll_data).
    pub response: Response<Incoming>,
}

/// Connects to `origin` and sends `request`.
///
/// The connect timeout of `settings` bounds the connection. The caller bounds the time for the response.
///
/// # Errors
/// See [`ConnectError`].
pub(super) async fn send_request(
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
    request: Request<Full<Bytes>>,
) -> Result<UpstreamExchange, ConnectError> {
    let io = connect(budget, settings, origin).await.map_err(ConnectError::Unreachable)?;
    let (mut sender, mut driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake::<_, Full<Bytes>>(TokioIo::new(LimitedReads::new(io)))
        .await
        .map_err(|error| ConnectError::InvalidResponse(error_chain(&error)))?;
    let mut response = Box::pin(sender.send_request(request));
    let mut is_closed = false;
    // The response arrives only while the connection is polled. The connection may end together with it (`connection:
    // close`).
    let response = poll_fn(|cx| {
        if !is_closed && Pin::new(&mut driver).poll(cx).is_ready() {
            is_closed = true;
        }
        response.as_mut().poll(cx)
    })
    .await
    .map_err(|error| {
        let is_closed = error.is_incomplete_message() || error.is_canceled() || is_connection_error(&error);
        if is_closed {
            ConnectError::Closed(error_chain(&error))
        } else {
            ConnectError::InvalidResponse(error_chain(&error))
        }
    })?;
    Ok(UpstreamExchange { driver: (!is_closed).then_some(driver), response })
}

impl UpstreamExchange {
    /// Polls for the next bytes of the body. Returns `None` at its clean end. Cancel-safe.
    ///
    /// # Errors
    /// Returns the reason if the body breaks off.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(cx).is_ready()
            {
                self.driver = None;
            }
            match ready!(Pin::new(self.response.body_mut()).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error_chain(&error)))),
                // Trailers mean nothing to an event source.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

/// Returns true if the connection itself failed, and false if the bytes on it were invalid.
fn is_connection_error(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

/// Formats an error with its causes, truncated. hyper's own text rarely names the reason.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.downcast_ref::<std::io::Error>().map_or_else(|| error.to_string(), io_reason);
        text = format!("{text}: {words}");
        cause = error.source();
    }
    truncate(&text)
}
