//! Who asked, as far as an access line may say it.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use tracing::info;

use super::forwarded;
use super::gate::Gate;
use super::service::peer;
use crate::auth::Grant;
use crate::telemetry::Protocol;

/// One client, for the log.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its address, as trusted proxies tell it.
    pub client: IpAddr,
    /// How it speaks.
    pub protocol: Protocol,
    /// Its token's subject, where the configuration lets it into the log; shortened.
    pub subject: Option<Arc<str>>,
}

/// Longest subject in a line, in characters.
const SUBJECT_CHARACTERS: usize = 128;

/// The target of access lines, to be filtered by.
pub const ACCESS: &str = "rillgate::access";

impl Caller {
    /// Who sent this request.
    pub fn of(gate: &Gate, head: &Parts, grant: Option<&Grant>) -> Self {
        let peer = peer(head);
        let subject = grant.filter(|_| gate.log_subject).and_then(Grant::subject);
        Self {
            client: forwarded::client(peer.address.ip(), &peer.trusted_proxies, &head.headers),
            protocol: peer.protocol,
            subject: subject.map(|subject| match subject.char_indices().nth(SUBJECT_CHARACTERS) {
                None => subject.clone(),
                Some((end, _)) => Arc::from(&subject[..end]),
            }),
        }
    }

    /// The access line of a response that is no subscription.
    pub fn answered(&self, route: &str, status: u16, reason: Option<&'static str>) {
        let protocol = self.protocol.as_str();
        info!(target: ACCESS, client = %self.client, route, status, protocol, reason, "answered");
    }
}
