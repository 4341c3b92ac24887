//! Serves one HTTP/1 connection with hyper, until it ends, times out, drains, or is handed off.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::handoff::Handoff;
use super::handoff_io::HandoffIo;
use super::head_scan::ScannedHead;
use super::tracked_body::TrackedBody;
use crate::limits::Limits;
use crate::listen::client_faults::{ClientFaults, FaultLevel, is_client_fault};
use crate::listen::connection_task::ConnectionTask;
use crate::listen::drain::drain_signal;
use crate::listen::protocol_errors::ProtocolErrors;
use crate::listen::request_body::RequestBody;
use crate::listen::service::{IncomingRequest, Peer, ResponseBody, Service};
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;
use crate::runtime::tasks::Draining;
use crate::runtime::turn::TurnBudget;
use crate::runtime::turn_owner::TurnOwner;
use crate::runtime::turn_queue::next_turn;

/// Serves HTTP/1 until the connection ends or is handed off. After a handoff it continues in the `task`.
///
/// Errors that no service sees are reported to `protocol_errors`.
pub(in crate::listen) async fn serve<B: ResponseBody>(
    transport: Transport,
    peer: Arc<Peer>,
    service: impl Service<B>,
    limits: &Limits,
    draining: Draining,
    protocol_errors: &ProtocolErrors,
    task: ConnectionTask,
) {
    let timeouts = Arc::new(ConnectionTimeouts::for_http1(limits));
    let mut drain_signal = Box::pin(drain_signal(draining, timeouts.clone(), peer.has_successor));
    let handoff = Handoff::default();
    let turn = Arc::new(Mutex::new(TurnBudget::default()));
    let is_trusted_proxy = peer.trusted_proxies.contains(peer.address.ip());
    let owner = Arc::new(TurnOwner::of_client(peer.address, is_trusted_proxy, limits));
    let faults = ClientFaults::new((!is_trusted_proxy).then_some(MAX_REFUSALS_PER_MINUTE));
    let refusals = Arc::new(Refusals { faults: Mutex::new(faults), protocol_errors: protocol_errors.clone() });
    let max_buf_size = limits.header_bytes.max(8192);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper cannot tell a slow head from an idle connection. `timeouts` can.
        .header_read_timeout(None)
        .max_buf_size(max_buf_size)
        .max_header_size(limits.header_bytes)
        // The service rejects requests over the limit with a proper response. hyper's own has no body.
        .max_headers(limits.headers.saturating_mul(2))
        .serve_connection(
            HandoffIo::new(transport, max_buf_size, handoff.clone(), timeouts.clone(), turn.clone()),
            hyper_service(service, peer, timeouts.clone(), handoff.clone(), (turn, owner), refusals),
        );
    let mut check = interval(timeouts.check_interval());
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_draining = false;
    loop {
        let served = poll_fn(|cx| match handoff.poll_connection(Pin::new(&mut connection), cx) {
            // hyper leaves an upgraded connection as one that has ended well.
            Poll::Ready(Some(Ok(()))) => Poll::Ready(handoff.take_upgrade().map(|continuation| (continuation, true))),
            Poll::Ready(end) => {
                if let Some(Err(error)) = end {
                    protocol_errors.on_http1_error(&error);
                }
                Poll::Ready(None)
            }
            Poll::Pending => match handoff.take_ready() {
                Some(continuation) => Poll::Ready(Some((continuation, false))),
                None => Poll::Pending,
            },
        });
        tokio::select! {
            served = served => {
                if let Some((continuation, is_upgraded)) = served {
                    let parts = connection.into_parts();
                    let (transport, unsent) = parts.io.into_parts();
                    continuation(transport, if is_upgraded { parts.read_buf.into() } else { unsent }, task);
                }
                return;
            }
            now = check.tick() => if let Some(timed_out) = timeouts.timed_out(now) {
                protocol_errors.on_timeout(timed_out);
                return;
            },
            () = &mut drain_signal, if !is_draining => {
                is_draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// Most requests of one connection that are refused in a minute because of what the client sent. The connection is
/// closed after the next one.
const MAX_REFUSALS_PER_MINUTE: u32 = 1000;

/// The refused requests of one connection.
struct Refusals {
    /// Never held across an await.
    faults: Mutex<ClientFaults>,
    protocol_errors: ProtocolErrors,
}

impl Refusals {
    /// Records the response if it is a refusal. Makes it the connection's last one if there were too many.
    fn record<B>(&self, response: &mut Response<B>) {
        if !is_client_fault(response.status()) {
            return;
        }
        let mut faults = self.faults.lock();
        let was_allowed = faults.level() == FaultLevel::Allowed;
        faults.record(Instant::now());
        if faults.level() != FaultLevel::Allowed {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            if was_allowed {
                self.protocol_errors.on_refused("refusals_per_connection");
            }
        }
    }
}

type ResponseFuture<B> = BoxFuture<'static, Result<Response<TrackedBody<B>>, Infallible>>;

fn hyper_service<B: ResponseBody>(
    service: impl Service<B>,
    peer: Arc<Peer>,
    timeouts: Arc<ConnectionTimeouts>,
    handoff: Handoff,
    (turn, owner): (Arc<Mutex<TurnBudget>>, Arc<TurnOwner>),
    refusals: Arc<Refusals>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<TrackedBody<B>>,
    Error = Infallible,
    Future = ResponseFuture<B>,
> + Unpin {
    hyper::service::service_fn(move |request: Request<Incoming>| -> ResponseFuture<B> {
        let request_guard = timeouts.begin_request();
        let (head, body) = request.into_parts();
        let is_ambiguous = match handoff.take_scanned_head() {
            ScannedHead::Clear => false,
            ScannedHead::Ambiguous => true,
            // Only the coding can hide another length.
            ScannedHead::Unseen => head.headers.contains_key(TRANSFER_ENCODING),
        };
        let response = service(IncomingRequest {
            head,
            peer: peer.clone(),
            is_ambiguous,
            is_body_empty: body.is_end_stream(),
            body: Some(RequestBody::http1(body)),
            handoff: Some(handoff.clone()),
        });
        let (refusals, owner) = (refusals.clone(), owner.clone());
        let is_turn_over = {
            let mut turn = turn.lock();
            turn.spend(0);
            turn.renew_if_spent()
        };
        Box::pin(async move {
            if is_turn_over {
                // hyper answers 16 pipelined requests at a time, and wakes its task at once for more.
                next_turn(&owner).await;
            }
            let mut response = response.await.map(|body| TrackedBody::new(body, request_guard));
            refusals.record(&mut response);
            Ok(response)
        })
    })
}
