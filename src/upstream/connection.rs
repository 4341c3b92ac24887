//! One HTTP/1.1 connection to an origin, and one response read from it.
//!
//! HTTP/1.1 on purpose: a stream occupies its connection anyway, and on HTTP/2 one stalled stream can starve its
//! siblings. Not a pool. The connection is driven by whoever reads the body, and closed by dropping it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connector::{Io, connect, reason};
use super::excerpt::shortened;
use super::target::{Origin, UpstreamSettings};

type Driver = http1::Connection<TokioIo<Box<dyn Io>>, Empty<Bytes>>;

/// Most bytes of an upstream's response head: hyper's read buffer.
const HEAD_BYTES: usize = 64 * 1024;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("{0}")]
    Unreachable(String),
    /// A connection, and then its end instead of a response.
    #[error("{0}")]
    Closed(String),
    /// A connection, and then no HTTP response on it.
    #[error("{0}")]
    Broken(String),
}

/// A response whose body is read together with its connection.
pub struct UpstreamExchange {
    driver: Option<Driver>,
    /// Status and head; the body is inside.
    pub response: Response<Incoming>,
}

/// Connects to `origin` and sends `request`.
///
/// # Errors
/// [`ConnectError`]. The time for the connection is bounded by the target; the time for the response is the caller's.
pub async fn exchange(
    target: &UpstreamSettings,
    origin: &Origin,
    request: Request<Empty<Bytes>>,
) -> Result<UpstreamExchange, ConnectError> {
    let io = connect(target, origin).await.map_err(ConnectError::Unreachable)?;
    let (mut sender, mut driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|error| ConnectError::Broken(chain(&error)))?;
    let mut response = Box::pin(sender.send_request(request));
    let mut is_closed = false;
    // The connection must be polled for the response to come; it may end with it (`connection: close`).
    let response = poll_fn(|cx| {
        if !is_closed && Pin::new(&mut driver).poll(cx).is_ready() {
            is_closed = true;
        }
        response.as_mut().poll(cx)
    })
    .await
    .map_err(|error| {
        let is_closed = error.is_incomplete_message() || error.is_canceled() || is_reset(&error);
        if is_closed { ConnectError::Closed(chain(&error)) } else { ConnectError::Broken(chain(&error)) }
    })?;
    Ok(UpstreamExchange { driver: (!is_closed).then_some(driver), response })
}

impl UpstreamExchange {
    /// The next bytes of the body; `None` at its clean end. Cancel-safe.
    ///
    /// # Errors
    /// What broke the body, in words.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(cx).is_ready()
            {
                self.driver = None;
            }
            match ready!(Pin::new(self.response.body_mut()).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(chain(&error)))),
                // Trailers say nothing to an event source.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

/// Whether the connection itself failed, and not what came over it.
fn is_reset(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

/// An error with its causes, since hyper's own text rarely names the reason, shortened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.downcast_ref::<std::io::Error>().map_or_else(|| error.to_string(), reason);
        text = format!("{text}: {words}");
        cause = error.source();
    }
    shortened(&text)
}
