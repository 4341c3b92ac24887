//! Tickets that several gateways share: the trait of their store, and the form in which it holds them.

use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::auth::grant::{Grant, GrantForm};

/// Keeps tickets where every gateway of a cluster finds them.
pub trait SharedTickets: Send + Sync + 'static {
    /// Stores the content of a new ticket for `keep`, in whole seconds and at least one.
    ///
    /// # Errors
    /// The store did not acknowledge it.
    fn store<'a>(
        &'a self,
        ticket: &'a str,
        content: Vec<u8>,
        keep: Duration,
    ) -> BoxFuture<'a, Result<(), TicketsUnavailable>>;

    /// Uses a ticket up and returns its content. `None`: it was used, has expired or never was. At most one call returns
    /// it, whatever the gateway.
    ///
    /// # Errors
    /// The store did not answer. The ticket may be used up or not.
    fn take<'a>(&'a self, ticket: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TicketsUnavailable>>;
}

/// The tickets of all gateways cannot be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tickets of all gateways cannot be reached")]
pub struct TicketsUnavailable;

/// A ticket without its secret.
pub(super) struct TicketContent {
    pub(super) route: Box<str>,
    pub(super) path: Box<str>,
    pub(super) until: SystemTime,
    pub(super) grant: Grant,
}

/// The form in which a content is stored.
#[derive(Serialize, Deserialize)]
struct ContentForm {
    format: u32,
    route: Box<str>,
    path: Box<str>,
    until: SystemTime,
    grant: GrantForm,
}

impl TicketContent {
    /// Writes the content for a shared store.
    pub(super) fn encode(&self) -> Vec<u8> {
        let form = ContentForm {
            format: FORMAT,
            route: self.route.clone(),
            path: self.path.clone(),
            until: self.until,
            grant: GrantForm::of(&self.grant),
        };
        // Fails for times before 1970 only, and no token expires then.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// Reads a content. `None`: another version wrote it, or it is damaged. Never panics.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let form: ContentForm = serde_json::from_slice(bytes).ok()?;
        let ContentForm { format, route, path, until, grant } = form;
        (format == FORMAT).then_some(())?;
        Some(Self { route, path, until, grant: grant.into_grant()? })
    }
}

const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_content_or_none(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(TicketContent::decode(&bytes).is_none());
        }

        #[test]
        fn any_payload_makes_a_grant_or_none(payload in "\\PC{0,40}", seconds in any::<u64>(), nanos in any::<u32>()) {
            let time = serde_json::json!({ "secs_since_epoch": seconds, "nanos_since_epoch": nanos });
            let grant = serde_json::json!({
                "issuer": "main", "expires_at": time, "key": vec![0; 32], "algorithm": "ES256", "payload": payload,
                "typ": null, "source": "Header",
            });
            let content = serde_json::json!({
                "format": 1, "route": "r", "path": "/p", "until": time, "grant": grant,
            });

            let decoded = TicketContent::decode(content.to_string().as_bytes());
            drop(decoded.map(|content| content.grant.claims()));
        }
    }
}
