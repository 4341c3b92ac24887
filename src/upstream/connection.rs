//! One exchange with an origin: a request, and the response that is read.
//!
//! By default it has an HTTP/1.1 connection of its own: a stream occupies its connection anyway, and nothing can stall it.
//! Reading the body drives the connection, and dropping the exchange closes it. With `http2`, it is a stream on a
//! connection of the [`Http2Pool`](super::Http2Pool).

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

use super::connect_error::ConnectError;
use super::connector::{Io, connect};
use super::error_text::error_chain;
use super::http2_connection::STREAM_WINDOW;
use super::http2_exchange::{self, Http2Body};
use super::limited_reads::LimitedReads;
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::ConnectBudget;

type Driver = http1::Connection<TokioIo<LimitedReads<Box<dyn Io>>>, Full<Bytes>>;

/// Most bytes of a response head, for which hyper's read buffer may grow.
const HEAD_BYTES: usize = 64 * 1024;

/// A response together with the connection that its body is read from.
pub(super) struct UpstreamExchange {
    /// Status and headers. The body is read with [`poll_data`](Self::poll_data).
    pub response: Response<()>,
    body: ExchangeBody,
}

enum ExchangeBody {
    Http1 { driver: Option<Box<Driver>>, body: Incoming },
    Http2(Http2Body),
}

/// Connects to `origin` and sends `request`, which may reach it twice if `may_repeat`.
///
/// The connect timeout of `settings` bounds the connection. The caller bounds the time for the response.
///
/// # Errors
/// See [`ConnectError`].
pub(super) async fn send_request(
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
    request: Request<Bytes>,
    may_repeat: bool,
) -> Result<UpstreamExchange, ConnectError> {
    if let Some(pool) = &settings.http2 {
        let (response, body) =
            http2_exchange::send_request(pool, budget, settings, origin, request, may_repeat).await?;
        return Ok(UpstreamExchange { response, body: ExchangeBody::Http2(body) });
    }
    let io = connect(budget, settings, origin).await.map_err(ConnectError::Unreachable)?;
    let (mut sender, mut driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake::<_, Full<Bytes>>(TokioIo::new(LimitedReads::new(io)))
        .await
        .map_err(|error| ConnectError::InvalidResponse(error_chain(&error)))?;
    let mut response = Box::pin(sender.send_request(request.map(Full::new)));
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
    let (head, body) = response.into_parts();
    let body = ExchangeBody::Http1 { driver: (!is_closed).then(|| Box::new(driver)), body };
    Ok(UpstreamExchange { response: Response::from_parts(head, ()), body })
}

impl UpstreamExchange {
    /// Returns the most bytes that its connection receives into this process while nothing reads it.
    pub(super) fn window(&self) -> usize {
        match self.body {
            // The bytes of HTTP/1.1 wait in the kernel.
            ExchangeBody::Http1 { .. } => 0,
            ExchangeBody::Http2(_) => STREAM_WINDOW as usize,
        }
    }

    /// Polls for the next bytes of the body. Returns `None` at its clean end. Cancel-safe.
    ///
    /// # Errors
    /// Returns the reason if the body breaks off.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let (driver, body) = match &mut self.body {
            ExchangeBody::Http1 { driver, body } => (driver, body),
            ExchangeBody::Http2(body) => return body.poll_data(cx),
        };
        loop {
            if let Some(open) = driver
                && Pin::new(open).poll(cx).is_ready()
            {
                *driver = None;
            }
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
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
