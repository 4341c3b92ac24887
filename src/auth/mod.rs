//! Who may.
//!
//! ```text
//! request ── token ── jws ── issuer (keys, verify) ── revocations ── rules ──▶ Grant
//!            where?   form?  whose, and good?          taken back?    covers?
//! ```
//!
//! An [`Authorizer`] makes the decision for one route; the [`TrustStore`] is everything that can take it back later.
//! Algorithms belong to keys and keys to issuers, so nothing in a token chooses how it is verified. Nothing here knows
//! status codes, sockets of clients, or the configuration file, and nothing here spawns.

mod authorizer;
mod claims;
mod decision_trace;
mod denied;
mod extract;
pub mod fetch;
mod grant;
mod issuer;
mod json;
mod jwks;
mod jws;
mod key_source;
mod keyfile;
mod keys;
pub mod mint;
mod pem;
mod refresh_schedule;
mod revocation;
mod revocations;
pub mod rfc3339;
mod rules;
mod settings;
mod tickets;
mod trust_store;
mod verify;

pub use authorizer::{Authorizer, AuthorizerError, Credentials};
pub use claims::{ClaimPath, ClaimPathError, Claims};
pub use decision_trace::{DecisionStep, StepOutcome};
pub use denied::{Denied, ScopeFault, TokenFault};
pub use grant::Grant;
pub use issuer::{Issuer, KeysState, RefreshObserver};
pub use jwks::is_key_set;
pub use jws::algorithm;
pub use key_source::SourceError;
pub use keys::{KeyError, MIN_SECRET};
pub use revocation::{
    Revocation, RevocationError, from_json as revocation_from_json, from_toml as revocations_from_toml,
    read as revocations_from_file,
};
pub use revocations::{
    RestoreError, RevocationCounts, RevocationId, RevocationOrigin, RevocationPage, RevocationRow, Revocations,
};
pub use rules::Requested;
pub use settings::{Bound, IssuerSettings, KeySource, RuleSettings, TokenSource};
pub use tickets::{Ticket, TicketError, Tickets};
pub use trust_store::{ChangeSignal, GrantStatus, Issuers, TrustStore};
pub use verify::MAX_LEEWAY;

/// Chooses the cryptography that signatures are checked with. Idempotent; call it before the first token.
///
/// # Panics
/// Never, as long as only one backend of `jsonwebtoken` is compiled in.
pub fn install_provider() {
    // The only error is that it was done before.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
