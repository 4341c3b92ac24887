//! What the configuration says about issuers and about who may read a route. Values only: believed, not yet loaded.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use rustls::RootCertStore;
use serde_json::Value;
use subtle::ConstantTimeEq;
use url::Url;

use super::token::claims::ClaimPath;
use super::token::extract::TokenSource;
use crate::secret::Secret;

/// One `[issuers.NAME]` table: who signs tokens, and with what.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The table's name, used by routes and as a metric label.
    pub name: String,
    /// `iss` must equal this.
    pub issuer: String,
    /// `aud` must contain one of these. Never empty.
    pub audience: Vec<String>,
    /// A claim that is read in the place of an absent `aud`; an `aud` that is there must match. None: `aud` is required.
    pub audience_claim: Option<ClaimPath>,
    /// What keys from a JWKS may be used with. Never HMAC.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are. Never empty.
    pub keys: Vec<KeySource>,
    /// Tolerance for clocks, at most 60 s. Default 5 s.
    pub leeway: Duration,
    /// Required `typ` of the token's header, compared without case and without an `application/` prefix.
    pub typ: Option<String>,
}

impl IssuerSettings {
    /// Whether both say the same, so that a reload of the configuration can keep what was loaded for one of them.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { name, issuer, audience, audience_claim, algorithms, keys, leeway, typ } = self;
        *name == other.name
            && *issuer == other.issuer
            && *audience == other.audience
            && *audience_claim == other.audience_claim
            && *algorithms == other.algorithms
            && *leeway == other.leeway
            && *typ == other.typ
            && keys.len() == other.keys.len()
            && keys.iter().zip(&other.keys).all(|(one, other)| one.is_same(other))
    }
}

impl KeySource {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::JwksUrl { url, refresh, authorities },
                Self::JwksUrl { url: other_url, refresh: other_refresh, authorities: other_authorities },
            ) => {
                let roots =
                    |authorities: &Option<Arc<RootCertStore>>| authorities.as_ref().map(|store| store.roots.clone());
                url == other_url && refresh == other_refresh && roots(authorities) == roots(other_authorities)
            }
            (Self::JwksFile(path), Self::JwksFile(other)) => path == other,
            (
                Self::PemFile { path, algorithm, kid },
                Self::PemFile { path: other_path, algorithm: other_algorithm, kid: other_kid },
            ) => path == other_path && algorithm == other_algorithm && kid == other_kid,
            (
                Self::Secret { secret, algorithm, kid },
                Self::Secret { secret: other_secret, algorithm: other_algorithm, kid: other_kid },
            ) => {
                bool::from(secret.reveal().ct_eq(other_secret.reveal()))
                    && algorithm == other_algorithm
                    && kid == other_kid
            }
            (Self::JwksUrl { .. } | Self::JwksFile(_) | Self::PemFile { .. } | Self::Secret { .. }, _) => false,
        }
    }
}

/// One entry of `issuers.NAME.keys`.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A JWKS document fetched over HTTP(S), again every `refresh` (default 5 min).
    JwksUrl {
        /// Where it is. `https`, or `http` to a loopback address.
        url: Url,
        /// Time between two fetches.
        refresh: Duration,
        /// Authorities that its server is trusted by. `None`: the system's.
        authorities: Option<Arc<RootCertStore>>,
    },
    /// A JWKS document in a file, read again when it changes.
    JwksFile(PathBuf),
    /// A public key (or certificate) in PEM, read again when it changes.
    PemFile {
        /// The file.
        path: PathBuf,
        /// The one algorithm this key is used with. Never HMAC.
        algorithm: Algorithm,
        /// The `kid` a token must name; without one the key is for tokens that name none.
        kid: Option<String>,
    },
    /// A shared secret of at least 32 bytes.
    Secret {
        /// The bytes.
        secret: Secret,
        /// HS256, HS384 or HS512.
        algorithm: Algorithm,
        /// As for a PEM file.
        kid: Option<String>,
    },
}

/// One `[routes.auth]` table: which tokens may read the route.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSettings {
    /// Names of issuers, each of which is configured. Never empty.
    pub issuers: Vec<String>,
    /// Where a token may stand in a request. Default: the header alone.
    pub token_from: Vec<TokenSource>,
    /// Longest token, in bytes. Default 16 KiB.
    pub token_bytes: usize,
    /// A claim that lists path patterns, one of which must cover the stream.
    pub streams_claim: Option<String>,
    /// Claims (by path) that must equal, list or contain (space-separated) one of the values: strings, whole numbers or
    /// booleans.
    pub require: Vec<(String, Vec<Value>)>,
    /// Parts of the request, and the claim that must equal or list every value of each.
    pub bind: Vec<(Bound, String)>,
    /// Claims that go upstream, each of which must be a string, a number or a boolean, and not empty: without its
    /// header a request would ask the upstream for something else.
    pub shared: Vec<String>,
    /// False: decide, count and log, but let in.
    pub enforce: bool,
    /// The most by which a response ends before its token, so that tokens that expire together do not end their
    /// responses together. Default 10 s; at most a tenth of what was left at the start.
    pub expiry_spread: Duration,
    /// Whether `POST PATH?ticket` makes one-time URLs.
    pub tickets: bool,
    /// How long a ticket may wait. Default 30 s.
    pub ticket_ttl: Duration,
}

/// A part of a request whose values a token may be bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The capture of this name in the route's path.
    Capture(String),
    /// The shared query parameter of this name.
    Parameter(String),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(name) => write!(f, "capture {name}"),
            Self::Parameter(name) => write!(f, "query parameter {name}"),
        }
    }
}
