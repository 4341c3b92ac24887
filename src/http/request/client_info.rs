//! The facts about a client that the log may show.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::info;

use super::forwarded;
use super::redact;
use super::trace::Trace;
use crate::auth::Grant;
use crate::http::app::App;
use crate::listen::{IncomingRequest, Peer};
use crate::telemetry::{ACCESS, Protocol};

/// One client, as the log shows it.
#[derive(Clone, Debug)]
pub(crate) struct ClientInfo {
    /// The client's address: the peer's, or the one that trusted proxies forward for.
    pub address: IpAddr,
    /// The protocol of the connection.
    pub protocol: Protocol,
    /// The token's subject, if the configuration allows it in the log; truncated.
    pub subject: Option<Arc<str>>,
    /// The `User-Agent`; truncated.
    pub user_agent: Option<Box<str>>,
    /// The request's id. Copied, since the header value would keep the connection's whole input buffer alive.
    pub request_id: Arc<str>,
    /// The id of the trace that the request belongs to.
    pub trace_id: u128,
}

/// The most characters of a subject in a line.
const SUBJECT_CHARACTERS: usize = 128;

impl ClientInfo {
    /// Collects the facts from a request, its trace and its grant.
    pub(crate) fn new(app: &App, request: &IncomingRequest, trace: &Trace, grant: Option<&Grant>) -> Self {
        let IncomingRequest { head, peer, .. } = request;
        let subject = grant.filter(|_| app.log_subject).and_then(Grant::subject);
        Self {
            address: forwarded::client_address(peer, &head.headers),
            protocol: peer.protocol,
            subject: subject.map(|subject| match subject.char_indices().nth(SUBJECT_CHARACTERS) {
                None => subject.clone(),
                Some((end, _)) => Arc::from(&subject[..end]),
            }),
            user_agent: redact::user_agent(&head.headers),
            request_id: trace.request_id().to_str().expect("an id is visible ASCII").into(),
            trace_id: trace.trace_id(),
        }
    }

    /// Returns the part of the client's address that limits count. `None` for a trusted proxy, which stands for many
    /// clients.
    pub(crate) fn limited_address(&self, app: &App, peer: &Peer) -> Option<IpAddr> {
        let is_limited = !peer.trusted_proxies.contains(self.address);
        is_limited.then(|| app.limits.load().network(self.address))
    }

    /// Returns the client as one of a stream's readers.
    pub(crate) fn stream_client(&self) -> crate::stream::Client {
        crate::stream::Client {
            address: self.address,
            protocol: self.protocol.as_str(),
            subject: self.subject.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// Logs the access line of a response that is not a subscription.
    pub(crate) fn log_access(
        &self,
        route: &str,
        path: &str,
        status: u16,
        reason: Option<&'static str>,
        since: Instant,
    ) {
        let protocol = self.protocol.as_str();
        info!(
            target: ACCESS,
            client = %self.address,
            route,
            path,
            status,
            protocol,
            seconds = since.elapsed().as_secs_f64(),
            reason,
            user_agent = self.user_agent.as_deref(),
            request_id = &*self.request_id,
            trace_id = %format_args!("{:032x}", self.trace_id),
            "answered"
        );
    }
}
