//! Every way in which a client may not.
//!
//! Each variant has a label from a closed set, fit for a metric. Says nothing about HTTP status codes or texts: that
//! is the caller's business, as the comments say which one is meant.

use std::fmt;

/// Why a request may not read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token at all. 401 without an error code (RFC 6750, 3.1).
    #[error("no token")]
    Missing,
    /// Two tokens by two methods (RFC 6750, 2). 400, `invalid_request`.
    #[error("more than one token")]
    Ambiguous,
    /// A token that is not good. 401, `invalid_token`.
    #[error("invalid token: {0}")]
    Invalid(TokenFault),
    /// A good token that does not cover this stream. 403, `insufficient_scope`.
    #[error("the token does not cover this stream: {0}")]
    Forbidden(ScopeFault),
    /// A credential that the page does not have itself (a cookie, an access proxy's field), sent by a page of a foreign
    /// origin. 403.
    #[error("a credential that a browser adds by itself, from a page of a foreign origin")]
    Origin,
    /// The issuer's keys could not be had yet. 503.
    #[error("the issuer's keys could not be fetched yet")]
    Unavailable,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not three parts of canonical base64url with JSON objects in them; duplicate members; an `Authorization` header
    /// that is none.
    Malformed,
    /// Longer than `limits.token_bytes`.
    TooLarge,
    /// A header that brings a key or demands something that is not understood (`crit`, `jwk`, `jku`, `x5c`…).
    Header,
    /// An algorithm that no key is configured for, or not the one of the key that it names.
    Algorithm,
    /// `iss` is none of the route's issuers.
    UnknownIssuer,
    /// The issuer has no key of that `kid`.
    UnknownKey,
    /// The signature does not match.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `aud` contains none of ours.
    Audience,
    /// The header's `typ` is not the one required.
    Typ,
    /// `iss`, `aud`, `exp`, `nbf`, `iat` or `sub` is missing or of the wrong type.
    Claims,
    /// Revoked by an operator.
    Revoked,
    /// Not a token but a one-time ticket, and one that is used, over, made up or for another stream.
    Ticket,
}

impl TokenFault {
    /// The metric label.
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

/// Which rule of the route a good token does not satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeFault {
    /// `streams_claim`: no pattern of the token covers the path.
    Streams,
    /// `require`: a claim does not have the value.
    Require,
    /// `bind`: a capture does not equal the claim.
    Bind,
    /// `share.claims`: a claim that goes upstream is not there.
    Share,
}

impl ScopeFault {
    /// The metric label.
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
    /// Every label there is.
    pub const LABELS: [&'static str; 22] = [
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
        "streams",
        "require",
        "bind",
        "share",
    ];

    /// The metric label, one of [`Self::LABELS`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Invalid(fault) => fault.reason(),
            Self::Forbidden(fault) => fault.reason(),
            Self::Origin => "origin",
            Self::Unavailable => "keys_unavailable",
        }
    }
}

impl From<TokenFault> for Denied {
    fn from(fault: TokenFault) -> Self {
        Self::Invalid(fault)
    }
}
