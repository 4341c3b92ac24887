//! A forwarded request: authorized and bounded as for streams, then sent on, and its response passed back.
//!
//! The credential is checked and passed on with everything else. What the gateway knows of the client is written by it
//! alone.

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tracing::warn;

use super::request::auth;
use super::request::forwarded::client_address;
use super::request::forwarded_fields;
use super::request::head::{check_expectation, check_framing, check_length};
use super::response::body::AppBody;
use super::response::rejection::Rejection;
use super::routed_request::RoutedRequest;
use super::upgrade::{RequestedUpgrade, UpgradePermission, is_accepted, is_websocket_stream};
use crate::forward::{
    Download, DownloadProgress, ForwardError, ForwardRequest, Forwarder, StreamTransport, Tunnel, drop_request_fields,
    drop_response_fields,
};
use crate::listen::{IncomingRequest, RequestBody};

/// The methods of a route that forwards, for those that it does not.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Sends a request on and returns the upstream's response. Takes the body once it is sent.
///
/// # Errors
/// The refusal, or the reason for which the upstream did not answer.
pub(super) async fn respond(
    routed: RoutedRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let RoutedRequest { app, route, captures, target, request, trace } = routed;
    let IncomingRequest { head, peer, .. } = request;
    let forwarder = route.forwarder.as_ref().expect("the route forwards");
    check(request, forwarder)?;
    let grant = auth::authorize(app, route, captures, target, request).await?;
    let client = client_address(peer, &head.headers);
    let limits = app.limits.load();
    // A trusted proxy stands for many clients.
    let address = (!peer.trusted_proxies.contains(client)).then(|| limits.network(client));
    let metrics = route.metrics.forward();
    let exchange = app.exchange_limits.acquire(address, metrics)?;

    let upgrade = RequestedUpgrade::of(request);
    if upgrade.is_some() && app.tasks.draining().has_started() {
        return Err(Rejection::Draining);
    }
    let mut headers = head.headers.clone();
    drop_request_fields(&mut headers);
    if let Some(upgrade) = &upgrade {
        upgrade.write(&mut headers);
    }
    let is_stream = matches!(upgrade, Some(RequestedUpgrade::WebSocket { .. }));
    forwarded_fields::write(&mut headers, peer, client, &head.headers, &target.authority);
    headers.extend(trace.headers());
    let sent = ForwardRequest {
        method: if is_stream { Method::GET } else { head.method.clone() },
        path: target.path.encoded(),
        query: head.uri.query(),
        headers,
        authority: &target.authority,
        body: if is_stream { None } else { body.take().filter(|_| !request.is_body_empty) },
    };
    let answered = forwarder.send(sent, metrics).await.map_err(|error| {
        if error.is_upstream_fault() && route.metrics.acquire_refusal_line() {
            warn!(route = route.metrics.name(), %error, "not forwarded");
        }
        Rejection::Forward(error)
    });
    let answered = answered?;
    let idle_timeout = forwarder.settings().idle_timeout;
    if answered.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else {
            return Err(invalid("the upstream switches protocols without having been asked to"));
        };
        let permission = UpgradePermission {
            app: app.clone(),
            route: route.clone(),
            host: target.host().to_owned(),
            path: target.path.decoded().to_owned(),
            grant: grant.filter(|_| route.authorizer.as_ref().is_some_and(|rules| rules.settings().enforce)),
        };
        return match upgrade {
            RequestedUpgrade::Connection { protocol, handoff } => {
                let response = switching_protocols(answered.headers(), protocol);
                let tunnel = Tunnel::new(answered, idle_timeout, exchange);
                handoff.upgrade(move |client, read_ahead, task| {
                    task.spawn(Box::pin(tunnel.run(client, read_ahead, permission.ended())));
                });
                Ok(response)
            }
            RequestedUpgrade::WebSocket { key } => {
                if !is_accepted(&key, answered.headers()) {
                    return Err(invalid("the upstream accepts another WebSocket than that of the request"));
                }
                let mut headers = answered.headers().clone();
                drop_response_fields(&mut headers);
                headers.remove(SEC_WEBSOCKET_ACCEPT);
                let (client, body) = StreamTransport::new(body.take().expect("an HTTP/2 request has a body"));
                let abandoned = client.abandoned();
                let ended = async move {
                    tokio::select! {
                        () = permission.ended() => {}
                        () = abandoned => {}
                    }
                };
                app.tasks.spawn("tunnel", Tunnel::new(answered, idle_timeout, exchange).run(client, Vec::new(), ended));
                let mut response = Response::new(AppBody::Tunnel(Box::new(body)));
                *response.headers_mut() = headers;
                Ok(response)
            }
        };
    }
    if is_stream && answered.status().is_success() {
        // The client would take the body for a WebSocket's frames.
        return Err(invalid("the upstream answers a WebSocket handshake as an ordinary request"));
    }
    let (mut parts, body) = answered.into_parts();
    drop_response_fields(&mut parts.headers);
    // The versions and extensions of the two connections have nothing to do with each other.
    let mut response = Response::new(());
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    let body = Download::new(body, idle_timeout, exchange);
    if let Some(handoff) = &request.handoff {
        handoff.decline(DownloadProgress::stalled(body.progress(), limits.stall_timeout));
    }
    Ok(response.map(|()| AppBody::Forwarded(Box::new(body))))
}

fn invalid(reason: &str) -> Rejection {
    Rejection::Forward(ForwardError::InvalidResponse(reason.to_owned()))
}

/// Returns the response with which a connection changes to this protocol.
fn switching_protocols(received: &HeaderMap, protocol: &HeaderValue) -> Response<AppBody> {
    let mut headers = received.clone();
    drop_response_fields(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
    let mut response = Response::new(AppBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Refuses what no route forwards.
fn check(request: &IncomingRequest, forwarder: &Forwarder) -> Result<(), Rejection> {
    let head = &request.head;
    if head.method == Method::TRACE || (head.method == Method::CONNECT && !is_websocket_stream(head)) {
        return Err(Rejection::Method { allow: METHODS });
    }
    check_framing(request)?;
    check_length(head, forwarder.settings().body_bytes, "forward.body_bytes")?;
    check_expectation(head)
}
