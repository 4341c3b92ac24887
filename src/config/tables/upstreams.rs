//! `[upstreams.NAME]`: where events come from.
//!
//! The TLS client configuration is built here, with its provider, roots and ALPN, so that a bad file is a problem of the
//! configuration and not of the first connection. Connects to nothing.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::parsers;
use super::referenced_files;
use crate::config::engine::{Distinct, KeySpec, Kind, Table, Value};
use crate::runtime::backoff::Backoff;
use crate::upstream::{Origin, Resume, UpstreamSettings};

pub(super) const UPSTREAM: &[KeySpec] = &[
    KeySpec::required(
        "urls",
        Kind::List(&Kind::String),
        "Base URLs, perhaps with a path and a query, tried in order on each connect.",
    ),
    KeySpec::optional(
        "headers",
        Kind::Map(&Kind::OneOf(&[Kind::String, Kind::Table(referenced_files::HEADER_SECRET)])),
        "Sent with every request: a string, or { file = \"…\" } or { env = \"…\" }. host and accept replace the gateway's own.",
    )
    .secret(),
    KeySpec::optional("resume", Kind::Table(RESUME), "Where the last completed id goes. Absent: in the header Last-Event-ID."),
    KeySpec::default(
        "connect_timeout",
        Kind::duration("10ms", "5m"),
        "3s",
        "TCP and TLS must be established within this; the addresses of a name share it. Resolving may take as long again.",
    ),
    KeySpec::default(
        "open_timeout",
        Kind::duration("10ms", "10m"),
        "60s",
        "Response headers must have come within this, whether or not clients wait.",
    ),
    KeySpec::default(
        "idle_timeout",
        Kind::duration_or_zero("10ms", "1d"),
        "0s",
        "No bytes, comments included, for this long: reconnect. 0s: off.",
    ),
    KeySpec::optional("backoff", Kind::Table(BACKOFF), "Delays between attempts, with full jitter."),
    KeySpec::default(
        "max_event",
        Kind::size("64B", "256MiB"),
        "1MiB",
        "A larger event is left out, and told as a gap.",
    ),
    KeySpec::optional("tls", Kind::Table(TLS), "How to speak TLS with https URLs."),
];

const RESUME: &[KeySpec] = &[
    KeySpec::optional("header", Kind::String, "In this header."),
    KeySpec::optional("query", Kind::String, "In this query parameter, percent-encoded."),
];

const BACKOFF: &[KeySpec] = &[
    KeySpec::default(
        "initial",
        Kind::duration("1ms", "1h"),
        "500ms",
        "Upper bound of the first delay; the upstream's own retry takes its location. Where max is shorter and this is absent: max.",
    ),
    KeySpec::default("max", Kind::duration("1ms", "1h"), "30s", "Upper bound of every delay; not below initial."),
];

const TLS: &[KeySpec] = &[
    KeySpec::optional("ca_file", Kind::String, "File of certificates in PEM that are trusted instead of the system's."),
    KeySpec::optional(
        "client_certificate",
        Kind::Table(referenced_files::CERTIFICATE),
        "Shown to upstreams that ask for one.",
    ),
];

/// All upstreams by name. An upstream with mistakes is there too, so that routes are not blamed for it.
pub(super) fn upstreams(entries: Vec<(&str, Value<'_>)>) -> BTreeMap<String, Arc<UpstreamSettings>> {
    let native = OnceCell::new();
    let read = |(name, value): (&str, Value<'_>)| {
        if !parsers::is_label(name) {
            value.report(parsers::INVALID_LABEL);
        }
        (name.to_owned(), Arc::new(target(name, &value.table_or_placeholder(), &native)))
    };
    entries.into_iter().map(read).collect()
}

fn target(name: &str, table: &Table<'_>, native: &OnceCell<RootCertStore>) -> UpstreamSettings {
    let origins: Vec<_> = table.nonempty_items("urls").iter().filter_map(origin).collect();
    let backoff = table.table("backoff");
    let max = backoff.duration("max");
    let initial = backoff.duration("initial");
    if initial > max && backoff.contains("initial") {
        backoff.report("max", "is shorter than initial");
    }
    let is_tls = origins.iter().any(Origin::is_tls);
    if !is_tls && !origins.is_empty() && table.contains("tls") {
        table.report("tls", "is of no use: no URL begins with https");
    }
    let (headers, secrets) = headers(table);
    UpstreamSettings {
        name: name.to_owned(),
        resume: resume(table, &headers),
        headers,
        secrets,
        connect_timeout: table.duration("connect_timeout"),
        open_timeout: table.duration("open_timeout"),
        idle_timeout: table.nonzero_duration("idle_timeout"),
        backoff: Backoff { initial: initial.min(max), max },
        max_event: table.size("max_event"),
        tls: tls(table, is_tls, native),
        origins,
    }
}

fn origin(value: &Value<'_>) -> Option<Origin> {
    let text = value.string()?;
    let objection = match Url::parse(text) {
        Err(_) => "is not a URL, such as \"http://127.0.0.1:9000\"",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "is not an http or https URL",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must not hold a user name or password: use headers"
        }
        Ok(url) if url.fragment().is_some() => "must not have a fragment",
        Ok(url) if url.port() == Some(0) => "has port 0, which cannot be connected to",
        Ok(url) => {
            let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
            match authority.parse::<Authority>() {
                Ok(authority) => {
                    let scheme = if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
                    // The slash at its end is the one that every path begins with.
                    let base = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
                    let query = url.query().unwrap_or_default().to_owned();
                    return Some(Origin { scheme, authority, base, query });
                }
                Err(_) => "has no host that can be connected to",
            }
        }
    };
    value.report(objection);
    None
}

/// Without `resume` as the standard has it.
fn resume(table: &Table<'_>, headers: &[(HeaderName, HeaderValue)]) -> Resume {
    let resume = table.table("resume");
    match (resume.get("header"), resume.get("query")) {
        (Some(header), None) => {
            let name = header.string().and_then(|name| match name.eq_ignore_ascii_case("last-event-id") {
                true => Some(HeaderName::from_static("last-event-id")),
                false => parsers::header(&header, name),
            });
            if name.as_ref().is_some_and(|name| headers.iter().any(|(other, _)| other == name)) {
                header.report("the same header also stands in headers");
            }
            name.map(Resume::Header).unwrap_or_default()
        }
        (None, Some(query)) => {
            query.string().and_then(|name| parsers::parameter(&query, name)).map(Resume::Query).unwrap_or_default()
        }
        (Some(_), Some(_)) => {
            resume.report("query", "stands beside header: the id goes to one location");
            Resume::default()
        }
        (None, None) if !table.contains("resume") => Resume::default(),
        (None, None) => {
            table.report("resume", "says nothing: it is { header = \"…\" } or { query = \"…\" }");
            Resume::default()
        }
    }
}

/// All headers, and the names of those whose value is a secret.
fn headers(table: &Table<'_>) -> (Vec<(HeaderName, HeaderValue)>, Vec<HeaderName>) {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut secrets = Vec::new();
    // TOML tells apart what differs in case alone; HTTP does not.
    let mut distinct = Distinct::new();
    for (name, value) in table.entries("headers") {
        let name = parsers::upstream_header(&value, name);
        let Some((name, content)) = name.zip(header_value(&value)) else { continue };
        if name == HOST && !is_host(&content) {
            value.report("is not a host, perhaps with a port");
        }
        if value.alternative().is_some_and(|given| given.is_table()) {
            secrets.push(name.clone());
        }
        distinct.insert(&value, name.clone());
        headers.push((name, content));
    }
    (headers, secrets)
}

fn is_host(value: &HeaderValue) -> bool {
    let authority = value.to_str().ok().and_then(|value| value.parse::<Authority>().ok());
    authority.is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

fn header_value(value: &Value<'_>) -> Option<HeaderValue> {
    let given = value.alternative()?;
    let mut bytes = match given.is_table() {
        true => referenced_files::secret_bytes(&given.table()?)?,
        false => given.string()?.as_bytes().to_vec(),
    };
    if given.is_table() && bytes.ends_with(b"\n") {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    if bytes.is_empty() {
        value.report("the value is empty");
        return None;
    }
    let Ok(mut content) = HeaderValue::from_bytes(&bytes) else {
        value.report("holds a character that a header value cannot (RFC 9110, 5.5)");
        return None;
    };
    content.set_sensitive(true);
    Some(content)
}

fn tls(table: &Table<'_>, is_tls: bool, native: &OnceCell<RootCertStore>) -> Option<Arc<ClientConfig>> {
    let tls = table.table("tls");
    let authorities = tls.get("ca_file").map(|value| referenced_files::authorities(&value));
    let client = tls.optional_table("client_certificate").map(|table| referenced_files::fixed_certified_key(&table));
    if !is_tls {
        return None;
    }
    let roots = match authorities {
        Some(authorities) => authorities?,
        None => {
            let native = native.get_or_init(native_roots);
            if native.is_empty() {
                table
                    .report("urls", "no trusted certificates were found on this machine for https: name a tls.ca_file");
                return None;
            }
            native.clone()
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(referenced_files::provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's cipher suites cover TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(certified) => {
            let resolver = rustls::sign::SingleCertAndKey::from(certified?.1);
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    // Event streams are long and few: one connection for each keeps them from blocking one another.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(config))
}

/// The system's certificates; single ones that cannot be read are left out, as everywhere.
fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
