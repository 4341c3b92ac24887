//! What the configuration says about issuers and about who may read a route. Values only: believed, not yet loaded.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

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
    /// What keys from a JWKS may be used with. Never HMAC.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are. Never empty.
    pub keys: Vec<KeySource>,
    /// Tolerance for clocks, at most 60 s. Default 5 s.
    pub leeway: Duration,
    /// Required `typ` of the token's header, compared without case and without an `application/` prefix.
    pub typ: Option<String>,
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
    /// A claim that lists path patterns, one of which must cover the stream.
    pub streams_claim: Option<String>,
    /// Claims (by path) that must equal, list or contain (space-separated) the value.
    pub require: Vec<(String, String)>,
    /// Captures (first) that must equal a claim (second).
    pub bind: Vec<(String, String)>,
    /// False: decide, count and log, but let in.
    pub enforce: bool,
    /// Whether `POST PATH?ticket` makes one-time URLs.
    pub tickets: bool,
    /// How long a ticket may wait. Default 30 s.
    pub ticket_ttl: Duration,
}

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …` (RFC 6750, 2.1).
    Header,
    /// The cookie of this name.
    Cookie(String),
    /// The query parameter of this name (RFC 6750, 2.3; off unless named).
    Query(String),
}
