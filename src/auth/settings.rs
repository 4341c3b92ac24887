//! Settings of issuers and of a route's authorization. Values only: validated by the configuration, with no keys
//! loaded.

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

/// One `[issuers.NAME]` table: a signer of tokens and its keys.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The table's name, which routes refer to. Also a metric label.
    pub name: String,
    /// The required `iss`.
    pub issuer: String,
    /// The accepted audiences. `aud` must contain one of them. Never empty.
    pub audience: Vec<String>,
    /// A claim that replaces an absent `aud`. A present `aud` must still match. `None`: `aud` is required.
    pub audience_claim: Option<ClaimPath>,
    /// The algorithms that keys from a JWKS may be used with. Never HMAC.
    pub algorithms: Vec<Algorithm>,
    /// The sources of the keys. Never empty.
    pub keys: Vec<KeySource>,
    /// Tolerated clock skew, at most 60 s. Default 5 s.
    pub leeway: Duration,
    /// The required `typ` of the token's header, compared without case and without an `application/` prefix.
    pub typ: Option<String>,
}

impl IssuerSettings {
    /// Whether both settings are equal, so that a configuration reload can keep the loaded issuer.
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
    /// A JWKS document fetched over HTTP or HTTPS, again every `refresh` (default 5 min).
    JwksUrl {
        /// The URL: `https`, or `http` to a loopback address.
        url: Url,
        /// Interval between two fetches.
        refresh: Duration,
        /// The authorities that the server's certificate must chain to. `None`: those of the system.
        authorities: Option<Arc<RootCertStore>>,
    },
    /// A JWKS document in a file, read again when the file changes.
    JwksFile(PathBuf),
    /// A public key or certificate in PEM, read again when the file changes.
    PemFile {
        /// The file.
        path: PathBuf,
        /// The only algorithm that the key is used with. Never HMAC.
        algorithm: Algorithm,
        /// The `kid` that a token must name. Without one, the key is for tokens that name none.
        kid: Option<String>,
    },
    /// A shared secret of at least 32 bytes.
    Secret {
        /// The secret bytes.
        secret: Secret,
        /// HS256, HS384 or HS512.
        algorithm: Algorithm,
        /// The `kid`, as for a PEM file.
        kid: Option<String>,
    },
}

/// One `[routes.auth]` table: the tokens that may read the route.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSettings {
    /// Names of configured issuers. Never empty.
    pub issuers: Vec<String>,
    /// The places in a request where a token is accepted. Default: the header alone.
    pub token_from: Vec<TokenSource>,
    /// Maximum length of a token in bytes. Default 16 KiB.
    pub token_bytes: usize,
    /// A claim that lists path patterns. One of them must cover the stream.
    pub streams_claim: Option<String>,
    /// Claims (by path) that must equal, list or contain (space-separated) one of the values: strings, whole numbers or
    /// booleans.
    pub require: Vec<(String, Vec<Value>)>,
    /// Parts of the request, each with the claim that must equal or list all of its values.
    pub bind: Vec<(Bound, String)>,
    /// Claims that go upstream. Each must be a string, a number or a boolean, and not empty: without its header, the
    /// request would ask the upstream for something else.
    pub shared: Vec<String>,
    /// Whether refusals are enforced. If false, decisions are made, counted and logged, but every request is admitted.
    pub enforce: bool,
    /// Maximum time by which a response ends before its token expires, so that tokens that expire together do not end
    /// their responses together. Default 10 s; at most a tenth of the remaining lifetime at the start.
    pub expiry_spread: Duration,
    /// Whether `POST PATH?ticket` issues one-time URLs.
    pub tickets: bool,
    /// Lifetime of a ticket. Default 30 s.
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
