//! One connection: told apart, served by hyper, left in peace when it streams, ended gracefully.
//!
//! HTTP/1 or HTTP/2 (see `http2`) is chosen by ALPN, or by the first bytes on a listener without TLS. Generic over the
//! service: nothing here knows what is served. HTTP/1.1 responses that claim the connection leave hyper (see `takeover`).

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::time::{MissedTickBehavior, interval};

use super::abort::supervise;
use super::handoff::{Handoff, HandoffFn, HandoffIo};
use super::tracked_body::TrackedBody;
use crate::limits::Limits;
use crate::listen::drain::departure;
use crate::listen::protocol_errors::ProtocolErrors;
use crate::listen::service::{Peer, RequestBodyInfo, ResponseBody, Service};
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;
use crate::runtime::tasks::Draining;

/// Serves HTTP/1 until the connection ends; returns it when a response has claimed it. What no service hears of is
/// told to `unserved`.
pub(in crate::listen) async fn serve<B: ResponseBody>(
    transport: Transport,
    peer: Peer,
    service: impl Service<B>,
    limits: &Limits,
    draining: Draining,
    unserved: &ProtocolErrors,
) -> Option<(HandoffFn, Transport, Vec<u8>)> {
    let pace = Arc::new(ConnectionTimeouts::new(limits));
    let mut departure = Box::pin(departure(draining, pace.clone(), peer.has_successor));
    let takeover = Handoff::default();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The pace below tells a slow head from an idle connection; hyper cannot.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes.max(8192))
        .max_header_size(limits.header_bytes)
        // The service refuses what is over the limit, and says so; hyper could only refuse without a word.
        .max_headers(limits.headers.saturating_mul(2))
        .serve_connection(
            HandoffIo::new(transport, takeover.clone(), pace.clone()),
            hyper_service(service, peer, pace.clone(), takeover.clone()),
        );
    let mut carried = supervise(connection);
    let mut tick = interval(pace.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_draining = false;
    loop {
        let served = poll_fn(|cx| match Pin::new(&mut carried).poll(cx) {
            Poll::Ready(end) => {
                if let Some(Err(error)) = end {
                    unserved.http1(&error);
                }
                Poll::Ready(None)
            }
            Poll::Pending => takeover.ready().map_or(Poll::Pending, |writer| Poll::Ready(Some(writer))),
        });
        tokio::select! {
            served = served => {
                let (transport, held) = match served {
                    None => return None,
                    Some(_) => carried.into_inner().into_parts().io.into_parts(),
                };
                return served.map(|writer| (writer, transport, held));
            }
            now = tick.tick() => if let Some(over) = pace.over(now) {
                unserved.slow(over);
                return None;
            },
            () = &mut departure, if !is_draining => {
                is_draining = true;
                Pin::new(carried.get_mut()).graceful_shutdown();
            }
        }
    }
}

type Answer<B> = BoxFuture<'static, Result<Response<TrackedBody<B>>, Infallible>>;

fn hyper_service<B: ResponseBody>(
    service: impl Service<B>,
    peer: Peer,
    pace: Arc<ConnectionTimeouts>,
    takeover: Handoff,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<TrackedBody<B>>,
    Error = Infallible,
    Future = Answer<B>,
> + Unpin {
    hyper::service::service_fn(move |request: Request<Incoming>| -> Answer<B> {
        let in_request = pace.request();
        let (head, body) = request.into_parts();
        let unread = RequestBodyInfo { is_empty: body.is_end_stream() };
        let mut request = peer.announce(Request::from_parts(head, unread));
        request.extensions_mut().insert(takeover.clone());
        let response = service(request);
        Box::pin(async move {
            let response = response.await.map(|body| TrackedBody::new(body, in_request));
            // Not before: hyper stops reading for a body that nobody wants.
            drop(body);
            Ok(response)
        })
    })
}
