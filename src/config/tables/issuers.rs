//! `[issuers.NAME]`: issuers of tokens and their keys.
//!
//! Each key is bound to its algorithms here, so that a token cannot choose one. Key files are read here only to check
//! them; the `auth` module loads them for use and checks more.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Url};

use super::parsers;
use super::referenced_files;
use crate::auth::{self, ClaimPath, IssuerSettings, KeySource};
use crate::config::engine::{KeySpec, Kind, Table, Value};

pub(super) const ISSUER: &[KeySpec] = &[
    KeySpec::required("issuer", Kind::String, "Required value of the token's iss."),
    KeySpec::required("audience", Kind::List(&Kind::String), "The token's aud must contain one of these values."),
    KeySpec::default(
        "audience_claim",
        Kind::String,
        "aud",
        "Claim used instead of aud if the token has no aud, such as \"client_id\" of Amazon Cognito. If aud is present, it must match.",
    ),
    KeySpec::default(
        "algorithms",
        Kind::List(&Kind::Enum(ALGORITHMS)),
        "[\"ES256\", \"RS256\"]",
        "Algorithms allowed for keys from a JWKS. HMAC is not allowed, because these keys are public.",
    ),
    KeySpec::required("keys", Kind::List(&Kind::Table(KEY)), "Sources of keys, one per table."),
    KeySpec::default("leeway", Kind::duration_or_zero("1ms", "60s"), "5s", "Tolerance for clock differences."),
    KeySpec::optional("typ", Kind::String, "Required typ of the token header, such as \"at+jwt\". Absent: any."),
];

const KEY: &[KeySpec] = &[
    KeySpec::optional("jwks_url", Kind::String, "URL of a JWKS: https, or http to a loopback address."),
    KeySpec::default("refresh", Kind::duration("1s", "1d"), "5m", "With jwks_url: interval between fetches."),
    KeySpec::optional(
        "ca_file",
        Kind::String,
        "With jwks_url: PEM file of CA certificates that are trusted instead of the system's.",
    ),
    KeySpec::optional("jwks_file", Kind::String, "JWKS file, read again when it changes."),
    KeySpec::optional("pem_file", Kind::String, "PEM file of a public key, read again when it changes."),
    KeySpec::optional(
        "secret",
        Kind::Table(referenced_files::KEY_SECRET),
        "Shared secret (HMAC) of at least 32 bytes.",
    )
    .secret(),
    KeySpec::optional("algorithm", Kind::Enum(ALGORITHMS), "With pem_file or secret: the algorithm of the key."),
    KeySpec::optional(
        "kid",
        Kind::String,
        "With pem_file or secret: the key id. Absent: the key is used for tokens without a kid, or with a kid that no other key has.",
    ),
];

const ALGORITHMS: &[&str] =
    &["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "HS256", "HS384", "HS512"];

/// Reads all issuers.
pub(super) fn issuers(entries: Vec<(&str, Value<'_>)>) -> BTreeMap<String, Arc<IssuerSettings>> {
    let read = |(name, value): (&str, Value<'_>)| {
        if !parsers::is_label(name) {
            value.report(parsers::INVALID_LABEL);
        }
        (name.to_owned(), Arc::new(issuer(name, &value.table_or_placeholder())))
    };
    entries.into_iter().map(read).collect()
}

/// Reads one issuer. Returns it even if it has problems, so that routes which name it are not reported.
fn issuer(name: &str, table: &Table<'_>) -> IssuerSettings {
    let issuer = table.string("issuer").unwrap_or_default().to_owned();
    let audience = table.nonempty_items("audience").iter().filter_map(Value::string).map(str::to_owned).collect();
    let audience_claim = table
        .get("audience_claim")
        .and_then(|value| ClaimPath::parse(value.string()?).map_err(|error| value.report(error.to_string())).ok());
    let mut keys = Vec::new();
    let mut names: Vec<(Algorithm, Option<String>)> = Vec::new();
    for value in table.nonempty_items("keys") {
        let Some(table) = value.table() else { continue };
        let Some(source) = key_source(&table) else { continue };
        if let KeySource::PemFile { algorithm, kid, .. } | KeySource::Secret { algorithm, kid, .. } = &source {
            let name = (*algorithm, kid.clone());
            // Keys without a kid may coexist: an old and a new one during a rotation.
            if kid.is_some() && names.contains(&name) {
                table.report("kid", "another key has the same kid and algorithm");
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
        leeway: table.duration("leeway"),
        typ: table.string("typ").map(str::to_owned),
    }
}

fn algorithms(table: &Table<'_>, has_jwks: bool) -> Vec<Algorithm> {
    if !table.contains("algorithms") {
        table.items("algorithms");
        return vec![Algorithm::ES256, Algorithm::RS256];
    }
    let mut found = Vec::new();
    for value in table.nonempty_items("algorithms") {
        let Some(algorithm) = value.variant().and_then(|name| name.parse().ok()) else { continue };
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

const KEY_SOURCES: [&str; 4] = ["jwks_url", "jwks_file", "pem_file", "secret"];

fn key_source(table: &Table<'_>) -> Option<KeySource> {
    let [jwks_url, jwks_file, pem_file, secret] = KEY_SOURCES.map(|name| table.get(name));
    let refresh = table.duration("refresh");
    let authorities = table.get("ca_file").map(|value| referenced_files::authorities(&value));
    let algorithm = table.get("algorithm");
    let kid = table.string("kid").map(str::to_owned);

    let given: Vec<_> = KEY_SOURCES.into_iter().filter(|name| table.contains(name)).collect();
    let [source] = given[..] else {
        match given[..] {
            [] => table.report("jwks_url", "missing: a key needs jwks_url, jwks_file, pem_file or secret"),
            [_, second, ..] => table.report(second, "conflicts with another source: a key has one"),
            [_] => unreachable!("a single source was matched above"),
        }
        return None;
    };
    let is_single = matches!(source, "pem_file" | "secret");
    for name in ["algorithm", "kid"] {
        if !is_single && table.contains(name) {
            table.report(name, "only allowed with pem_file or secret: the keys of a JWKS have their own");
        }
    }
    if source != "jwks_url" && table.contains("refresh") {
        table.report("refresh", "only allowed with jwks_url: files are read again when they change");
    }
    if source != "jwks_url" && table.contains("ca_file") {
        table.report("ca_file", "only allowed with jwks_url");
    }
    if is_single && algorithm.is_none() {
        table.report("algorithm", "missing: pem_file and secret need an algorithm");
    }
    let algorithm = algorithm.as_ref().and_then(Value::variant).and_then(|name| name.parse::<Algorithm>().ok());

    if let Some(value) = jwks_url {
        let url = url(&value);
        let authorities = match authorities {
            Some(authorities) => Some(Arc::new(authorities?)),
            None => None,
        };
        return url.map(|url| KeySource::JwksUrl { url, refresh, authorities });
    }
    if let Some(value) = jwks_file {
        let (path, content) = referenced_files::content(&value)?;
        if !auth::is_key_set(&content) {
            value.report("the file is not a JWKS (RFC 7517, 5)");
        }
        return Some(KeySource::JwksFile(path));
    }
    if let Some(value) = pem_file {
        let file = referenced_files::content(&value);
        let algorithm = algorithm?;
        if is_hmac(algorithm) {
            table.report("algorithm", "HMAC is not allowed with a public key");
            return None;
        }
        let (path, content) = file?;
        if !is_public_key(&content, algorithm) {
            value.report("the file contains no PEM public key for this algorithm");
        }
        return Some(KeySource::PemFile { path, algorithm, kid });
    }
    let secret = secret?.table()?;
    let bytes = referenced_files::key_secret(&secret);
    let algorithm = algorithm?;
    if !is_hmac(algorithm) {
        table.report("algorithm", "expected HS256, HS384 or HS512: other algorithms need a public key");
        return None;
    }
    let bytes = bytes?;
    if bytes.reveal().len() < auth::MIN_SECRET {
        table.report("secret", "shorter than 32 bytes: it could be guessed from a single token");
        return None;
    }
    Some(KeySource::Secret { secret: bytes, algorithm, kid })
}

/// Reads the URL of a JWKS: https, or http to a loopback address.
fn url(value: &Value<'_>) -> Option<Url> {
    let Ok(url) = Url::parse(value.string()?) else {
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
