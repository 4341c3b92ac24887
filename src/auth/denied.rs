//! The reasons for refusing a client.
//!
//! Each variant has a label from a closed set, fit for a metric. The HTTP response is made elsewhere; the comments name
//! the status code that each variant leads to.

use std::fmt;
use std::time::Duration;

/// The reason why a request may not read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request has no token. 401 without an error code (RFC 6750, 3.1).
    #[error("no token")]
    Missing,
    /// The request has tokens in two places (RFC 6750, 2). 400, `invalid_request`.
    #[error("more than one token")]
    Ambiguous,
    /// The token is invalid. 401, `invalid_token`.
    #[error("invalid token: {0}")]
    Invalid(TokenFault),
    /// The token is valid but does not cover this stream. 403, `insufficient_scope`.
    #[error("the token does not cover this stream: {0}")]
    Forbidden(ScopeFault),
    /// A page of another origin sent a credential that the browser or a proxy adds by itself, such as a cookie. 403.
    #[error("a page of another origin sent a credential that the browser adds by itself")]
    Origin,
    /// The issuer's keys have not been fetched yet. 503.
    #[error("the issuer's keys have not been fetched yet")]
    Unavailable,
    /// The key is unknown, and unknown keys have caused too many fetches. Another one is allowed after this time. 503.
    #[error("the token's key is unknown, and too many such tokens have caused fetches of the issuer's keys")]
    FetchRefused(Duration),
    /// The credential is a ticket, and the tickets of all gateways cannot be reached. 503.
    #[error("the tickets of all gateways cannot be reached")]
    TicketsUnavailable,
}

/// The fault of an invalid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// The token is not three parts of canonical base64url that hold JSON objects, has duplicate members, or comes in a
    /// malformed `Authorization` header.
    Malformed,
    /// The token is longer than `limits.token_bytes`.
    TooLarge,
    /// The header brings a key or demands an unsupported feature (`crit`, `jwk`, `jku`, `x5c`…).
    Header,
    /// No key is configured for the algorithm, or the named key has another algorithm.
    Algorithm,
    /// None of the route's issuers has this `iss`.
    UnknownIssuer,
    /// The issuer has no key with this `kid`.
    UnknownKey,
    /// The signature does not match.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not been reached.
    NotYetValid,
    /// `aud` contains none of the issuer's audiences.
    Audience,
    /// The header's `typ` is not the required one.
    Typ,
    /// `iss`, `aud`, `exp`, `nbf`, `iat` or `sub` is missing or has the wrong type.
    Claims,
    /// An operator has revoked the token.
    Revoked,
    /// The credential is a one-time ticket that is used, expired, made up or for another stream.
    Ticket,
}

impl TokenFault {
    /// Returns the metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Audience => "audience",
            Self::Typ => "typ",
            Self::Claims => "claims",
            Self::Revoked => "revoked",
            Self::Ticket => "ticket",
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too large",
            Self::Header => "its header asks for something that is not supported",
            Self::Algorithm => "its algorithm is not allowed",
            Self::UnknownIssuer => "unknown issuer",
            Self::UnknownKey => "signed with an unknown key",
            Self::Signature => "wrong signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not valid yet",
            Self::Audience => "issued for another audience",
            Self::Typ => "wrong type (typ)",
            Self::Claims => "a registered claim is missing or has the wrong type",
            Self::Revoked => "revoked",
            Self::Ticket => "the ticket has been used, has expired, or is for another stream",
        })
    }
}

/// The route's rule that a valid token does not satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeFault {
    /// `streams_claim`: none of the token's patterns covers the path.
    Streams,
    /// `require`: a claim does not have the required value.
    Require,
    /// `bind`: a capture or parameter does not equal the claim.
    Bind,
    /// `share.claims`: a claim that goes upstream is missing.
    Share,
}

impl ScopeFault {
    /// Returns the metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Require => "require",
            Self::Bind => "bind",
            Self::Share => "share",
        }
    }
}

impl fmt::Display for ScopeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streams => "none of its path patterns covers the path (streams_claim)",
            Self::Require => "a claim does not have the required value (require)",
            Self::Bind => "a claim does not hold a value of the request (bind)",
            Self::Share => "a claim that goes upstream is missing (share.claims)",
        })
    }
}

impl Denied {
    /// All labels.
    pub const LABELS: [&'static str; 23] = [
        "missing",
        "ambiguous",
        "origin",
        "keys_unavailable",
        "malformed",
        "too_large",
        "header",
        "algorithm",
        "unknown_issuer",
        "unknown_key",
        "signature",
        "expired",
        "not_yet_valid",
        "audience",
        "typ",
        "claims",
        "revoked",
        "ticket",
        "cluster",
        "streams",
        "require",
        "bind",
        "share",
    ];

    /// Returns the metric label, one of [`Self::LABELS`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Invalid(fault) => fault.reason(),
            Self::Forbidden(fault) => fault.reason(),
            Self::Origin => "origin",
            Self::Unavailable | Self::FetchRefused(_) => "keys_unavailable",
            Self::TicketsUnavailable => "cluster",
        }
    }
}

impl From<TokenFault> for Denied {
    fn from(fault: TokenFault) -> Self {
        Self::Invalid(fault)
    }
}
