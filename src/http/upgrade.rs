//! Upgrades on routes that forward: which are asked for, and how long they may last.
//!
//! An HTTP/1.1 connection may become any protocol (RFC 9110, 7.8), an HTTP/2 stream a WebSocket (RFC 8441). To the upstream
//! both are an upgrade of HTTP/1.1.
//!
//! A connection that has been upgraded has no further request, so it ends when its token expires or is revoked, when a
//! reload takes the route away, and within the drain's spread.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use tokio::time::{Instant, sleep_until};

use super::app::App;
use crate::auth::{Grant, GrantStatus, Requested};
use crate::listen::{Handoff, IncomingRequest};
use crate::route::Route;
use crate::runtime::{arithmetic, jitter};

/// An upgrade that a request asks for, and may have.
pub(super) enum RequestedUpgrade<'r> {
    /// The connection is to speak this protocol.
    Connection { protocol: &'r HeaderValue, handoff: &'r Handoff },
    /// The HTTP/2 stream is to be a WebSocket. Its client has no key, so this is the gateway's (RFC 8441, 5).
    WebSocket { key: HeaderValue },
}

impl<'r> RequestedUpgrade<'r> {
    pub(super) fn of(request: &'r IncomingRequest) -> Option<Self> {
        if is_websocket_stream(&request.head) {
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce).expect("the system has random numbers");
            let key = HeaderValue::try_from(STANDARD.encode(nonce)).expect("Base64 is visible ASCII");
            return Some(Self::WebSocket { key });
        }
        let handoff = request.handoff.as_ref().filter(|_| request.is_body_empty)?;
        requested_protocol(&request.head).map(|protocol| Self::Connection { protocol, handoff })
    }

    /// Writes the fields by which the upstream is asked.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        match self {
            Self::Connection { protocol, .. } => headers.insert(UPGRADE, (*protocol).clone()),
            Self::WebSocket { key } => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_KEY, key.clone())
            }
        };
    }
}

/// Whether a request asks for a WebSocket on an HTTP/2 stream.
pub(super) fn is_websocket_stream(head: &Parts) -> bool {
    let protocol = head.extensions.get::<h2::ext::Protocol>();
    head.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Whether an upstream has accepted a WebSocket with this key (RFC 6455, 4.2.2).
pub(super) fn is_accepted(key: &HeaderValue, headers: &HeaderMap) -> bool {
    let proof = [key.as_bytes(), WEBSOCKET_GUID].concat();
    let expected = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &proof));
    headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|accepted| accepted.as_bytes() == expected.as_bytes())
}

/// The text that a server appends to the key (RFC 6455, 1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns the protocol that a request asks for, if it may have it. HTTP/2 is not among them: its requests would pass
/// unseen.
fn requested_protocol(head: &Parts) -> Option<&HeaderValue> {
    let mut protocols = head.headers.get_all(UPGRADE).iter();
    let (protocol, None) = (protocols.next()?, protocols.next()) else { return None };
    let name = protocol.to_str().ok()?.to_ascii_lowercase();
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    let is_asked_for = head.headers.get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
    });
    let is_http = ["h2", "h2c", "h3"].contains(&&*name) || name.starts_with("http/") || name.starts_with("tls/");
    (head.version == Version::HTTP_11 && is_asked_for && is_token && !is_http).then_some(protocol)
}

/// The permission of an upgraded connection or stream.
pub(super) struct UpgradePermission {
    pub(super) app: Arc<App>,
    pub(super) route: Arc<Route>,
    pub(super) host: String,
    /// The canonical path, decoded.
    pub(super) path: String,
    /// `None` on a public route, and where the rules are not enforced.
    pub(super) grant: Option<Grant>,
}

impl UpgradePermission {
    /// Completes when the connection must end.
    pub(super) async fn ended(self) {
        let mut changes = self.app.trust.subscribe();
        let spread = arithmetic::scale(self.app.spread, jitter::unit());
        loop {
            // Marked as seen before looking, so that a change in between is seen in the next round.
            changes.borrow_and_update();
            let Some(left) = self.time_left() else { return };
            let drained = self.app.tasks.draining_since().map(|since| since + spread);
            let until = [left.map(|left| Instant::now() + left), drained].into_iter().flatten().min();
            let timer = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => return,
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Returns the time until the token expires, `Some(None)` if there is none. `None`: the connection must end now.
    fn time_left(&self) -> Option<Option<Duration>> {
        let now = SystemTime::now();
        let routes = self.app.routes.load();
        let (route, captures) = routes.find(&self.host, &self.path).ok()?;
        let is_same = Arc::ptr_eq(route, &self.route);
        if !is_same && (route.settings.name != self.route.settings.name || route.forwarder.is_none()) {
            return None;
        }
        let Some(grant) = &self.grant else {
            let is_enforced = route.authorizer.as_ref().is_some_and(|authorizer| authorizer.settings().enforce);
            return (is_same || !is_enforced).then_some(None);
        };
        if self.app.trust.status(grant, now) != GrantStatus::Valid {
            return None;
        }
        let mut until = grant.expires_at();
        if let Some(authorizer) = route.authorizer.as_ref().filter(|_| !is_same) {
            let requested = Requested { path: &self.path, captures: &captures, shared: Some(&[]) };
            until = until.min(authorizer.recheck(grant, requested, now).ok()?);
        }
        Some(Some(until.duration_since(now).unwrap_or_default()))
    }
}
