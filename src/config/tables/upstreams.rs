//! `[upstreams.NAME]`: sources of events.
//!
//! The TLS client configuration is built here, with its provider, roots and ALPN, so that an invalid file is reported as
//! a problem of the configuration and not at the first connection.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::parsers;
use super::referenced_files::{self, CertificateTable, HeaderSecretTable};
use crate::config::engine::{Distinct, List, Map, OneOf, Value, duration, duration_or_zero, integer, keys, size};
use crate::runtime::backoff::Backoff;
use crate::upstream::{Origin, Resume, ServiceToken, UpstreamSettings};

keys! {
    pub(super) struct UpstreamTable<'a> {
        /// Base URLs, optionally with a path and a query. Tried in order at each connection attempt.
        urls: List<'a, &'a str> = required,
        /// Headers sent with every request. A value is a string, { file = "…" } or { env = "…" }. host and accept
        /// replace the gateway's own.
        headers: Map<'a, OneOf<'a, &'a str, HeaderSecretTable<'a>>> = optional as secret,
        /// Token sent with every request as Authorization: Bearer. A new one in the file takes effect at the next
        /// connection, without a reload, and ends no open connection and no client.
        token: TokenTable<'a> = optional as secret,
        /// Place of the last event id in reconnect requests. Absent: in the Last-Event-ID header.
        resume: ResumeTable<'a> = optional,
        /// 1: a reconnect asks for the last event with an id again. A producer that resumes sends it and so proves that
        /// nothing is missing; it is not delivered twice. 0: a reconnect asks for what follows the last event.
        overlap: u8 = "0" in integer(0, 1),
        /// Time limit for establishing TCP and TLS, shared by all addresses of a host name. Name resolution has a
        /// separate limit of the same length.
        connect_timeout: Duration = "3s" in duration("10ms", "5m"),
        /// Time limit for receiving response headers, whether or not clients are waiting.
        open_timeout: Duration = "60s" in duration("10ms", "10m"),
        /// Time without any bytes, comments included, after which the gateway reconnects. 0s: off.
        idle_timeout: Duration = "0s" in duration_or_zero("10ms", "1d"),
        /// Delays between connection attempts, with full jitter.
        backoff: BackoffTable<'a> = optional,
        /// Maximum size of an event. A larger event is dropped and reported to clients as a gap.
        max_event: usize = "1MiB" in size("64B", "256MiB"),
        /// true: HTTP/2, many streams on one connection, agreed by ALPN for https and assumed for http. false: HTTP/1.1,
        /// a connection for each stream.
        http2: bool = "false",
        /// TLS settings for https URLs.
        tls: UpstreamTlsTable<'a> = optional,
    }

    struct TokenTable<'a> {
        /// File that contains the token. White space around it is removed.
        file: &'a str = required,
    }

    struct ResumeTable<'a> {
        /// Name of a header.
        header: &'a str = optional,
        /// Name of a query parameter; the id is percent-encoded.
        query: &'a str = optional,
    }

    struct BackoffTable<'a> {
        /// Upper bound of the first delay. The upstream's retry field replaces it. Absent: at most max.
        initial: Duration = "500ms" in duration("1ms", "1h"),
        /// Upper bound of every delay. Not below initial.
        max: Duration = "30s" in duration("1ms", "1h"),
    }

    struct UpstreamTlsTable<'a> {
        /// PEM file of CA certificates that are trusted instead of the system's.
        ca_file: &'a str = optional,
        /// Client certificate, presented to upstreams that request one.
        client_certificate: CertificateTable<'a> = optional,
    }
}

/// Reads all upstreams. An upstream with problems is included too, so that routes which name it are not reported.
pub(super) fn upstreams<'a>(entries: Map<'a, UpstreamTable<'a>>) -> BTreeMap<String, Arc<UpstreamSettings>> {
    let native = OnceCell::new();
    let read = |(name, value): (&str, Value<'a, UpstreamTable<'a>>)| {
        if !parsers::is_label(name) {
            value.report(parsers::INVALID_LABEL);
        }
        (name.to_owned(), Arc::new(upstream(name, &value.table(), &native)))
    };
    entries.into_iter().map(read).collect()
}

fn upstream(name: &str, table: &UpstreamTable<'_>, native: &OnceCell<RootCertStore>) -> UpstreamSettings {
    let origins: Vec<_> = table.urls.nonempty_items().iter().filter_map(origin).collect();
    let backoff = table.backoff.table();
    let max = backoff.max.get();
    let initial = backoff.initial.get();
    if initial > max && backoff.initial.is_given() {
        backoff.max.report("must not be shorter than initial");
    }
    let is_tls = origins.iter().any(Origin::is_tls);
    if !is_tls && !origins.is_empty() && table.tls.is_given() {
        table.tls.report("has no effect: no URL is https");
    }
    let (headers, secrets) = headers(table);
    let resume = resume(table, &headers);
    UpstreamSettings {
        name: name.to_owned(),
        token: token(table, &headers, &resume),
        resume,
        headers,
        secrets,
        is_overlapping: table.overlap.get() == 1,
        connect_timeout: table.connect_timeout.get(),
        open_timeout: table.open_timeout.get(),
        idle_timeout: table.idle_timeout.nonzero(),
        backoff: Backoff { initial: initial.min(max), max },
        max_event: table.max_event.get(),
        http2: table.http2.get().then(Arc::default),
        tls: tls(table, is_tls, native),
        origins,
    }
}

fn origin(value: &Value<'_>) -> Option<Origin> {
    let text = value.read()?;
    let problem = match Url::parse(text) {
        Err(_) => "invalid URL: expected a URL such as \"http://127.0.0.1:9000\"",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "invalid URL: the scheme must be http or https",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must not contain a user name or password: use headers"
        }
        Ok(url) if url.fragment().is_some() => "must not contain a fragment",
        Ok(url) if url.port() == Some(0) => "must not have port 0",
        Ok(url) => {
            let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
            match authority.parse::<Authority>() {
                Ok(authority) => {
                    let scheme = if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
                    // Every path starts with a slash, so drop the one at the end of the base.
                    let base = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
                    let query = url.query().unwrap_or_default().to_owned();
                    return Some(Origin { scheme, authority, base, query });
                }
                Err(_) => "invalid URL: the host is invalid",
            }
        }
    };
    value.report(problem);
    None
}

/// Reads `resume`. The default is the `Last-Event-ID` header of the HTML standard.
fn resume(table: &UpstreamTable<'_>, headers: &[(HeaderName, HeaderValue)]) -> Resume {
    let resume = table.resume.table();
    match (resume.header.value(), resume.query.value()) {
        (Some(header), None) => {
            let name = header.read().and_then(|name| match name.eq_ignore_ascii_case("last-event-id") {
                true => Some(HeaderName::from_static("last-event-id")),
                false => parsers::header(&header, name),
            });
            if name.as_ref().is_some_and(|name| headers.iter().any(|(other, _)| other == name)) {
                header.report("the same header is also set in headers");
            }
            name.map(Resume::Header).unwrap_or_default()
        }
        (None, Some(query)) => {
            query.read().and_then(|name| parsers::parameter(&query, name)).map(Resume::Query).unwrap_or_default()
        }
        (Some(_), Some(_)) => {
            resume.query.report("conflicts with header: the id is sent in one place");
            Resume::default()
        }
        (None, None) if !table.resume.is_given() => Resume::default(),
        (None, None) => {
            table.resume.report("must not be empty: expected { header = \"…\" } or { query = \"…\" }");
            Resume::default()
        }
    }
}

/// Reads `token`. Later changes of the file are noticed by the upstream itself.
fn token(
    table: &UpstreamTable<'_>,
    headers: &[(HeaderName, HeaderValue)],
    resume: &Resume,
) -> Option<Arc<ServiceToken>> {
    let token = table.token.read()?;
    if *resume == Resume::Header(AUTHORIZATION) {
        table.token.report("conflicts with resume: it sends the id in authorization, which carries the token");
    }
    if headers.iter().any(|(name, _)| *name == AUTHORIZATION) {
        table.token.report("conflicts with headers: they set authorization, which carries the token");
    }
    let file = token.file.value()?;
    let (path, content) = referenced_files::content(&file)?;
    ServiceToken::new(path, &content).map(Arc::new).map_err(|error| file.report(error.to_string())).ok()
}

/// Reads the headers. Also returns the names of those whose value is a secret.
fn headers(table: &UpstreamTable<'_>) -> (Vec<(HeaderName, HeaderValue)>, Vec<HeaderName>) {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut secrets = Vec::new();
    // Keys that differ only in case are distinct in TOML, but the same header in HTTP.
    let mut distinct = Distinct::new();
    for (name, value) in table.headers.entries() {
        let name = parsers::upstream_header(&value, name);
        let Some((name, (content, is_secret))) = name.zip(header_value(&value)) else { continue };
        if name == HOST && !is_host(&content) {
            value.report("invalid host: expected a host name or address, optionally with a port");
        }
        if is_secret {
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

/// Reads the value of a header. Also returns true if it is a secret.
fn header_value<'a>(value: &Value<'a, OneOf<'a, &'a str, HeaderSecretTable<'a>>>) -> Option<(HeaderValue, bool)> {
    let (mut bytes, is_secret) = match value.read()? {
        OneOf::First(text) => (text.read()?.as_bytes().to_vec(), false),
        OneOf::Second(table) => {
            let table = table.read()?;
            (referenced_files::secret_bytes(&table.file, &table.env)?, true)
        }
    };
    if is_secret && bytes.ends_with(b"\n") {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    if bytes.is_empty() {
        value.report("must not be empty");
        return None;
    }
    let Ok(mut content) = HeaderValue::from_bytes(&bytes) else {
        value.report("invalid header value: contains a forbidden character (RFC 9110, 5.5)");
        return None;
    };
    content.set_sensitive(true);
    Some((content, is_secret))
}

fn tls(table: &UpstreamTable<'_>, is_tls: bool, native: &OnceCell<RootCertStore>) -> Option<Arc<ClientConfig>> {
    let tls = table.tls.table();
    let authorities = tls.ca_file.value().map(|value| referenced_files::authorities(&value));
    let client = tls.client_certificate.read().map(|table| referenced_files::fixed_certified_key(&table));
    if !is_tls {
        return None;
    }
    let roots = match authorities {
        Some(authorities) => authorities?,
        None => {
            let native = native.get_or_init(native_roots);
            if native.is_empty() {
                table.urls.report("https needs CA certificates, and none were found on this system: set tls.ca_file");
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
    let protocol: &[u8] = if table.http2.get() { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Some(Arc::new(config))
}

/// Loads the system's CA certificates, without those that cannot be parsed.
fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
