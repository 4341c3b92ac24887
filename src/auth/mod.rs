//! Authentication and authorization: which client may read which stream.
//!
//! ```text
//! request ── extract ── jws ── issuer (keys, verify) ── revocations ── rules ──▶ Grant
//!            find it    parse  check the signature       still valid?   covers the stream?
//! ```
//!
//! An [`Authorizer`] makes the decision for one route. The [`TrustStore`] holds everything that can end a permission
//! later.
//! Algorithms belong to keys and keys belong to issuers, so nothing in a token chooses how the token is verified. This
//! module does not know status codes, client sockets or the configuration file, and it starts no tasks.

mod change_signal;
mod decision_trace;
mod denied;
mod grant;
mod holder;
mod keys;
pub mod mint;
mod pem;
mod policy;
mod polled_file;
mod revocation;
mod revocations;
pub mod rfc3339;
mod settings;
mod tickets;
mod token;

pub use change_signal::ChangeSignal;
pub use decision_trace::{DecisionStep, StepOutcome};
pub use denied::{Denied, ScopeFault, TokenFault};
pub use grant::Grant;
pub use holder::Holder;
pub use keys::fetch;
pub use keys::issuer::{Issuer, KeysState, RefreshEvent, RefreshObserver};
pub use keys::jwks::is_key_set;
pub use keys::key_set::{KeyError, MIN_SECRET};
pub use keys::source_error::SourceError;
pub use policy::authorizer::{Authorizer, AuthorizerError, Credentials, is_cross_site};
pub use policy::rules::Requested;
pub use policy::trust_store::{GrantStatus, Issuers, TrustStore};
pub use revocation::{
    Revocation, RevocationError, RevocationList, from_json as revocation_from_json, from_toml as revocations_from_toml,
    read as revocations_from_file,
};
pub use revocations::{
    Reach, RestoreError, RevocationCounts, RevocationId, RevocationOrigin, RevocationPage, RevocationRow, Revocations,
    SharedRevocations,
};
pub use settings::{Bound, IssuerSettings, KeySource, RuleSettings};
pub use tickets::{SharedTickets, Ticket, TicketError, Tickets, TicketsUnavailable};
pub use token::claims::{ClaimPath, ClaimPathError, Claims};
pub use token::extract::TokenSource;
pub use token::jws::algorithm;
pub use token::verify::MAX_LEEWAY;

/// Installs the cryptography that verifies signatures. Idempotent; must be called before the first token.
///
/// # Panics
/// Never, as long as only one backend of `jsonwebtoken` is compiled in.
pub fn install_provider() {
    // It fails only if a provider is installed already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
