//! `[issuers.NAME]`: issuers of tokens and their keys.
//!
//! Each key is bound to its algorithms here, so that a token cannot choose one. Key files are read here only to check
//! them; the `auth` module loads them for use and checks more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Url};

use super::parsers;
use super::referenced_files::{self, KeySecretTable};
use crate::auth::{self, ClaimPath, IssuerSettings, KeySource};
use crate::config::engine::{KeyEntry, List, Map, Value, duration, duration_or_zero, keys, variants};

keys! {
    pub(super) struct IssuerTable<'a> {
        /// Required value of the token's iss.
        issuer: &'a str = required,
        /// The token's aud must contain one of these values.
        audience: List<'a, &'a str> = required,
        /// Claim used instead of aud if the token has no aud, such as "client_id" of Amazon Cognito. If aud is present,
        /// it must match.
        audience_claim: &'a str = "aud",
        /// Algorithms allowed for keys from a JWKS. HMAC is not allowed, because these keys are public.
        algorithms: List<'a, Algorithm> = "[\"ES256\", \"RS256\"]",
        /// Sources of keys, one per table.
        keys: List<'a, KeyTable<'a>> = required,
        /// Tolerance for clock differences.
        leeway: Duration = "5s" in duration_or_zero("1ms", "60s"),
        /// Required typ of the token header, such as "at+jwt". Absent: any.
        typ: &'a str = optional,
    }

    struct KeyTable<'a> {
        /// URL of a JWKS: https, or http to a loopback address.
        jwks_url: &'a str = optional,
        /// With jwks_url: interval between fetches.
        refresh: Duration = "5m" in duration("1s", "1d"),
        /// With jwks_url: PEM file of CA certificates that are trusted instead of the system's.
        ca_file: &'a str = optional,
        /// JWKS file, read again when it changes.
        jwks_file: &'a str = optional,
        /// PEM file of a public key, read again when it changes.
        pem_file: &'a str = optional,
        /// Shared secret (HMAC) of at least 32 bytes.
        secret: KeySecretTable<'a> = optional as secret,
        /// With pem_file or secret: the algorithm of the key.
        algorithm: Algorithm = optional,
        /// With pem_file or secret: the key id. Absent: the key is used for tokens without a kid, or with a kid that no
        /// other key has.
        kid: &'a str = optional,
    }
}

variants!(Algorithm {
    "ES256" => ES256, "ES384" => ES384,
    "RS256" => RS256, "RS384" => RS384, "RS512" => RS512,
    "PS256" => PS256, "PS384" => PS384, "PS512" => PS512,
    "EdDSA" => EdDSA,
    "HS256" => HS256, "HS384" => HS384, "HS512" => HS512,
});

/// Reads all issuers.
pub(super) fn issuers<'a>(entries: Map<'a, IssuerTable<'a>>) -> BTreeMap<String, Arc<IssuerSettings>> {
    let read = |(name, value): (&str, Value<'a, IssuerTable<'a>>)| {
        if !parsers::is_label(name) {
            value.report(parsers::INVALID_LABEL);
        }
        (name.to_owned(), Arc::new(issuer(name, &value.table())))
    };
    entries.into_iter().map(read).collect()
}

/// Reads one issuer. Returns it even if it has problems, so that routes which name it are not reported.
fn issuer(name: &str, table: &IssuerTable<'_>) -> IssuerSettings {
    let issuer = table.issuer.read().unwrap_or_default().to_owned();
    let audience = table.audience.nonempty_items().iter().filter_map(Value::read).map(str::to_owned).collect();
    let audience_claim = table
        .audience_claim
        .value()
        .and_then(|value| ClaimPath::parse(value.read()?).map_err(|error| value.report(error.to_string())).ok());
    let mut keys = Vec::new();
    let mut names: Vec<(Algorithm, Option<String>)> = Vec::new();
    for value in table.keys.nonempty_items() {
        let Some(table) = value.read() else { continue };
        let Some(source) = key_source(&table) else { continue };
        if let KeySource::PemFile { algorithm, kid, .. } | KeySource::Secret { algorithm, kid, .. } = &source {
            let name = (*algorithm, kid.clone());
            // Keys without a kid may coexist: an old and a new one during a rotation.
            if kid.is_some() && names.contains(&name) {
                table.kid.report("another key has the same kid and algorithm");
            }
            names.push(name);
        }
        keys.push(source);
    }
    let has_jwks = keys.iter().any(|key| matches!(key, KeySource::JwksUrl { .. } | KeySource::JwksFile(_)));
    IssuerSettings {
        name: name.to_owned(),
        issuer,
        audience,
        audience_claim: audience_claim.filter(|claim| claim.as_str() != "aud"),
        algorithms: algorithms(table, has_jwks),
        keys,
        leeway: table.leeway.get(),
        typ: table.typ.read().map(str::to_owned),
    }
}

fn algorithms(table: &IssuerTable<'_>, has_jwks: bool) -> Vec<Algorithm> {
    if !table.algorithms.is_given() {
        return vec![Algorithm::ES256, Algorithm::RS256];
    }
    let mut found = Vec::new();
    for value in table.algorithms.nonempty_items() {
        let Some(algorithm) = value.read() else { continue };
        match is_hmac(algorithm) {
            true if has_jwks => value.report("HMAC is not allowed for the public keys of a JWKS"),
            // Without a JWKS the list has no effect: the other sources have their own algorithm.
            true => {}
            false => found.push(algorithm),
        }
    }
    found
}

fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn key_source(table: &KeyTable<'_>) -> Option<KeySource> {
    let refresh = table.refresh.get();
    let authorities = table.ca_file.value().map(|value| referenced_files::authorities(&value));
    let kid = table.kid.read().map(str::to_owned);

    let sources: [&KeyEntry<'_>; 4] = [&table.jwks_url, &table.jwks_file, &table.pem_file, &table.secret];
    let given: Vec<_> = sources.into_iter().filter(|source| source.is_given()).collect();
    match given[..] {
        [_] => {}
        [] => {
            table.jwks_url.report("missing: a key needs jwks_url, jwks_file, pem_file or secret");
            return None;
        }
        [_, second, ..] => {
            second.report("conflicts with another source: a key has one");
            return None;
        }
    }
    let is_single = table.pem_file.is_given() || table.secret.is_given();
    let of_single: [&KeyEntry<'_>; 2] = [&table.algorithm, &table.kid];
    for key in of_single.into_iter().filter(|key| !is_single && key.is_given()) {
        key.report("only allowed with pem_file or secret: the keys of a JWKS have their own");
    }
    if !table.jwks_url.is_given() && table.refresh.is_given() {
        table.refresh.report("only allowed with jwks_url: files are read again when they change");
    }
    if !table.jwks_url.is_given() && table.ca_file.is_given() {
        table.ca_file.report("only allowed with jwks_url");
    }
    if is_single && !table.algorithm.is_given() {
        table.algorithm.report("missing: pem_file and secret need an algorithm");
    }
    let algorithm = table.algorithm.read();

    if let Some(value) = table.jwks_url.value() {
        let url = url(&value);
        let authorities = match authorities {
            Some(authorities) => Some(Arc::new(authorities?)),
            None => None,
        };
        return url.map(|url| KeySource::JwksUrl { url, refresh, authorities });
    }
    if let Some(value) = table.jwks_file.value() {
        let (path, content) = referenced_files::content(&value)?;
        if !auth::is_key_set(&content) {
            value.report("the file is not a JWKS (RFC 7517, 5)");
        }
        return Some(KeySource::JwksFile(path));
    }
    if let Some(value) = table.pem_file.value() {
        let file = referenced_files::content(&value);
        let algorithm = algorithm?;
        if is_hmac(algorithm) {
            table.algorithm.report("HMAC is not allowed with a public key");
            return None;
        }
        let (path, content) = file?;
        if !is_public_key(&content, algorithm) {
            value.report("the file contains no PEM public key for this algorithm");
        }
        return Some(KeySource::PemFile { path, algorithm, kid });
    }
    let secret = table.secret.read()?;
    let bytes = referenced_files::key_secret(&secret);
    let algorithm = algorithm?;
    if !is_hmac(algorithm) {
        table.algorithm.report("expected HS256, HS384 or HS512: other algorithms need a public key");
        return None;
    }
    let bytes = bytes?;
    if bytes.reveal().len() < auth::MIN_SECRET {
        table.secret.report("shorter than 32 bytes: it could be guessed from a single token");
        return None;
    }
    Some(KeySource::Secret { secret: bytes, algorithm, kid })
}

/// Reads the URL of a JWKS: https, or http to a loopback address.
fn url(value: &Value<'_>) -> Option<Url> {
    let Ok(url) = Url::parse(value.read()?) else {
        value.report("invalid URL");
        return None;
    };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let problem = match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => "must not contain a user name or password",
        _ if url.fragment().is_some() => "must not contain a fragment",
        "https" => return Some(url),
        "http" if is_loopback => return Some(url),
        "http" => "must be https: keys fetched over plain http could be forged",
        _ => "must be an https URL",
    };
    value.report(problem);
    None
}

fn is_public_key(pem: &[u8], algorithm: Algorithm) -> bool {
    let is_certificate = CertificateDer::from_pem_slice(pem).is_ok();
    let parsed = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => DecodingKey::from_rsa_pem(pem),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 | _ => return false,
    };
    is_certificate || parsed.is_ok()
}
