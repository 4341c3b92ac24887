//! Who asked, as far as an access line may say it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use tracing::info;

use super::forwarded;
use super::head::peer;
use super::redact;
use super::trace::Trace;
use crate::auth::Grant;
use crate::http::app::App;
use crate::telemetry::{ACCESS, Protocol};

/// One client, for the log.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Its address, as trusted proxies tell it.
    pub client: IpAddr,
    /// The same, where a trusted proxy told it: the connection is the proxy's, and only its word limits the client.
    pub forwarded_for: Option<IpAddr>,
    /// How it speaks.
    pub protocol: Protocol,
    /// Its token's subject, where the configuration lets it into the log; shortened.
    pub subject: Option<Arc<str>>,
    /// The program that it says it is; shortened.
    pub user_agent: Option<Box<str>>,
    /// The request's id. Not the field that brought it, which would keep a connection's whole input buffer.
    pub request_id: Arc<str>,
    /// The trace it belongs to.
    pub trace_id: u128,
}

/// Longest subject in a line, in characters.
const SUBJECT_CHARACTERS: usize = 128;

impl ClientInfo {
    /// Who sent this request.
    pub fn of(app: &App, head: &Parts, grant: Option<&Grant>) -> Self {
        let peer = peer(head);
        let trace: &Trace = head.extensions.get().expect("the service says which request it is");
        let subject = grant.filter(|_| app.log_subject).and_then(Grant::subject);
        let client = forwarded::client(peer.address.ip(), &peer.trusted_proxies, &head.headers);
        let is_told = peer.trusted_proxies.contains(peer.address.ip()) && !peer.trusted_proxies.contains(client);
        Self {
            client,
            forwarded_for: Some(client).filter(|_| is_told),
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

    /// Who it is among a stream's readers.
    pub fn reader(&self) -> crate::stream::Client {
        crate::stream::Client {
            address: self.client,
            protocol: self.protocol.as_str(),
            subject: self.subject.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// The access line of a response that is no subscription.
    pub fn answered(&self, route: &str, path: &str, status: u16, reason: Option<&'static str>, since: Instant) {
        let protocol = self.protocol.as_str();
        info!(
            target: ACCESS,
            client = %self.client,
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
