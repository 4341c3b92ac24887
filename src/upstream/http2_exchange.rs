//! One exchange with an origin over HTTP/2: a stream on a connection of the [`Http2Pool`].
//!
//! A request that a connection has not accepted is sent on another one, since it was not processed (RFC 9113, 8.7), unless
//! it must not be repeated in any case. Nothing else is sent twice. The window of the stream opens again as its bytes are taken.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header::HOST;
use http::uri::Authority;
use http::{Request, Response, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect_error::ConnectError;
use super::connector::{Io, connect};
use super::error_text::error_chain;
use super::http2_connection::Http2Connection;
use super::http2_pool::{Http2Permit, Http2Pool, MAX_CONNECTIONS};
use super::settings::{Origin, UpstreamSettings};
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::tasks::Tasks;

/// The body of a response.
pub(super) struct Http2Body {
    data: RecvStream,
    /// Frees the place on the connection when the body is dropped.
    permit: Http2Permit,
}

/// Sends `request` to `origin` and waits for the head of its response.
///
/// # Errors
/// See [`ConnectError`].
pub(super) async fn send_request(
    pool: &Http2Pool,
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
    request: Request<Bytes>,
    may_repeat: bool,
) -> Result<(Response<()>, Http2Body), ConnectError> {
    let name = format!("{}://{}", origin.scheme, origin.authority);
    let request = with_target(origin, request);
    send_on_pool(pool, &name, budget.tasks(), || open(budget, settings, origin), request, may_repeat).await
}

/// Sends `request` on a connection of the pool, or on one from `open`.
async fn send_on_pool<T, F>(
    pool: &Http2Pool,
    origin: &str,
    tasks: &Tasks,
    open: impl Fn() -> F,
    request: Request<Bytes>,
    may_repeat: bool,
) -> Result<(Response<()>, Http2Body), ConnectError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = Result<Http2Connection<T>, String>>,
{
    let (head, body) = request.into_parts();
    // Each connection that accepts nothing leaves the pool. The last attempt opens one.
    for _ in 0..=MAX_CONNECTIONS {
        let permit = pool.acquire(origin, tasks, open()).await.map_err(ConnectError::Unreachable)?;
        let error = match send(&permit, Request::from_parts(head.clone(), ()), &body).await {
            Ok((response, data)) => return Ok((response, Http2Body { data, permit })),
            Err(error) => error,
        };
        let is_unsent = matches!(error, SendError::NotReady(_));
        if permit.is_new || !(is_unsent || (may_repeat && is_unprocessed(&error))) {
            return Err(connect_error(&permit, &error));
        }
        permit.retire();
    }
    Err(ConnectError::Closed("no HTTP/2 connection accepts a stream".to_owned()))
}

async fn open(
    budget: &ConnectBudget,
    settings: &UpstreamSettings,
    origin: &Origin,
) -> Result<Http2Connection<Box<dyn Io>>, String> {
    let io = connect(budget, settings, origin).await?;
    Http2Connection::open(io, settings.connect_timeout, settings.idle_timeout).await.map_err(|reason| {
        format!("no HTTP/2 from {}: {reason} (set http2 = false if it speaks HTTP/1.1)", origin.address())
    })
}

/// An error before there is a response.
enum SendError {
    /// The connection takes no further requests.
    NotReady(h2::Error),
    /// The request failed.
    Failed(h2::Error),
}

async fn send(
    permit: &Http2Permit,
    request: Request<()>,
    body: &Bytes,
) -> Result<(Response<()>, RecvStream), SendError> {
    let mut sender = permit.sender.clone().ready().await.map_err(SendError::NotReady)?;
    let (response, mut content) = sender.send_request(request, body.is_empty()).map_err(SendError::Failed)?;
    if !body.is_empty() {
        content.send_data(body.clone(), true).map_err(SendError::Failed)?;
    }
    let (head, data) = response.await.map_err(SendError::Failed)?.into_parts();
    Ok((Response::from_parts(head, ()), data))
}

/// Returns true if the origin has not processed the request.
fn is_unprocessed(error: &SendError) -> bool {
    match error {
        SendError::NotReady(_) => true,
        // A GOAWAY ends only the streams that the origin has not looked at.
        SendError::Failed(error) => {
            error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
        }
    }
}

fn connect_error(permit: &Http2Permit, error: &SendError) -> ConnectError {
    let (SendError::NotReady(error) | SendError::Failed(error)) = error;
    let text = permit.end().map_or_else(|| error_chain(error), str::to_owned);
    // An error of the protocol that was found here.
    if error.reason().is_some() && !error.is_remote() {
        ConnectError::InvalidResponse(text)
    } else {
        ConnectError::Closed(text)
    }
}

/// Names the origin in the target (RFC 9113, 8.3.1), by the configured `Host` if there is one.
fn with_target(origin: &Origin, mut request: Request<Bytes>) -> Request<Bytes> {
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(origin.scheme.clone());
    target.authority = Some(authority.unwrap_or_else(|| origin.authority.clone()));
    *request.uri_mut() = Uri::from_parts(target).expect("an absolute path with scheme and authority is a URI");
    *request.version_mut() = Version::HTTP_2;
    request
}

impl Http2Body {
    /// Polls for the next bytes. Returns `None` at the clean end. Cancel-safe.
    ///
    /// # Errors
    /// Returns the reason if the body breaks off.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            return Poll::Ready(Some(match ready!(self.data.poll_data(cx)) {
                // The frame at the end may be empty.
                Some(Ok(data)) if data.is_empty() => continue,
                Some(Ok(data)) => {
                    // An error means that the connection is gone, which the next read reports.
                    let _ = self.data.flow_control().release_capacity(data.len());
                    Ok(data)
                }
                Some(Err(error)) => Err(self.permit.end().map_or_else(|| error_chain(&error), str::to_owned)),
                None => return Poll::Ready(None),
            }));
        }
    }
}

#[cfg(test)]
mod tests;
